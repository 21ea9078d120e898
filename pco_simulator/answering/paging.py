"""The arithmetic of pages: which offsets come before and after, and the links that lead there."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from pco_simulator.contents.records import PCO


@dataclass(frozen=True, kw_only=True, slots=True)
class PageWindow:
    """Where a page lies in its list. `next_offset` None: nothing follows; `previous_offset` None: nothing precedes."""

    offset: int
    per_page: int
    count: int
    total: int
    next_offset: int | None
    previous_offset: int | None


def page_window(*, offset: int, per_page: int, total: int) -> PageWindow:
    """A page. With `per_page` 0 it is empty and followed by itself, as PCO does: a trap for naive followers."""
    following = offset + per_page
    return PageWindow(
        offset=offset,
        per_page=per_page,
        count=max(min(per_page, total - offset), 0),
        total=total,
        next_offset=following if following < total else None,
        previous_offset=max(offset - per_page, 0) if offset > 0 else None,
    )


def page_link(path: str, raw_query: str, offset: int | None) -> str:
    """The address of a page: the query as asked, `per_page` uncapped, sorted by key; with this offset unless None."""
    pairs = parse_qsl(raw_query, keep_blank_values=True)
    if offset is not None:
        pairs = [*((key, value) for key, value in pairs if key != "offset"), ("offset", str(offset))]
    query = "&".join(f"{key}={quote(value, safe='')}" for key, value in sorted(pairs))
    return f"{PCO}{path}?{query}" if query else f"{PCO}{path}"
