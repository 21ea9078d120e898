"""The parts in which a run is read: usually one, several where a list is too long to be paged by offset alone. Pure.

Beyond an offset of 30,000 PCO counts harder, has answered 500, and has dropped the limit to a tenth without a word
(#1428, #1449). So a long list is divided by time into windows that are short enough, which are read side by side.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pco_walks.window import ONE_SECOND, WHOLE, Window

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Before anything in PCO; only where the first cut is made depends on it, what is older is in the first window."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One window of a run. Numbers are never used twice in a run: 0 is what it began with."""

    number: int
    window: Window


def encode_parts(parts: Sequence[Part], why: str) -> dict[str, Any]:
    """The parts as the ledger keeps them; `why` is for people."""
    return {"why": why, "parts": [{"number": part.number, "window": _encode(part.window)} for part in parts]}


def decode_parts(told: Mapping[str, Any]) -> tuple[list[Part], str]:
    """The parts that `encode_parts` made, and why."""
    return [Part(number=one["number"], window=_decode(one["window"])) for one in told["parts"]], str(told["why"])


def whole_again(parts: Sequence[Part]) -> list[Part]:
    """Instead of these parts: all that the list shows, without relying on any filter or order."""
    return [Part(number=max(part.number for part in parts) + 1, window=WHOLE)]


def divide(
    window: Window, total: int, *, most: int, second: str | None = None
) -> Generator[Window, int | None, list[Window]]:
    """Cut a window of `total` records into windows of at most `most`; what cannot be cut stays as long as it is.

    Yields the windows to be counted, and takes how many records each holds; None where PCO does not say, and then it
    cuts no further. `second` is an attribute to cut by where all lie in one second: one that never changes.
    """
    windows = yield from _cut(window, total, most, second)
    joined: list[tuple[Window, int]] = []
    for one, count in windows:
        if joined and one.also is None and joined[-1][0].also is None and joined[-1][1] + count <= most:
            before, counted = joined.pop()
            joined.append((replace(before, before=one.before, until=one.until), counted + count))
        else:
            joined.append((one, count))
    return [one for one, _ in joined]


def _cut(
    window: Window, total: int, most: int, second: str | None
) -> Generator[Window, int | None, list[tuple[Window, int]]]:
    if total <= most:
        return [(window, total)]
    middle = _middle(window)
    if middle is None:
        if second is None or window.also is not None:
            return [(window, total)]
        inner = Window(attribute=second, since=None, until=window.until or window.before)
        parts = yield from _cut_inside(window, inner, total, most)
        return parts
    first = replace(window, before=middle, until=None)
    counted = yield first
    if counted is None:
        return [(window, total)]
    left = yield from _cut(first, counted, most, second)
    right = yield from _cut(replace(window, since=middle), max(total - counted, 0), most, second)
    return left + right


def _cut_inside(
    window: Window, inner: Window, total: int, most: int
) -> Generator[Window, int | None, list[tuple[Window, int]]]:
    """Cut the one second of `window` by `inner`; the last one is left open, as it is `window` that bounds them all."""
    cutting = _cut(inner, total, most, None)
    counted: int | None = None
    try:
        asked = next(cutting)
        while True:
            counted = yield replace(window, also=asked)
            asked = cutting.send(counted)
    except StopIteration as done:
        parts: list[tuple[Window, int]] = done.value
    if len(parts) == 1:
        return [(window, total)]
    return [(replace(window, also=replace(also, until=None)), count) for also, count in parts]


def _middle(window: Window) -> datetime | None:
    """A whole second strictly between the ends; None if there is none."""
    end = window.before or (window.until + ONE_SECOND if window.until else None)
    assert end is not None, "only a bounded window is divided"
    since = window.since or min(EARLIEST, end - timedelta(days=1))
    seconds = int((end - since).total_seconds()) // 2
    return since + timedelta(seconds=seconds) if seconds else None


def _encode(window: Window) -> dict[str, Any]:
    told: dict[str, Any] = {"attribute": window.attribute}
    for name in ("since", "until", "before"):
        bound: datetime | None = getattr(window, name)
        told[name] = None if bound is None else bound.isoformat()
    told["also"] = None if window.also is None else _encode(window.also)
    return told


def _decode(told: Mapping[str, Any]) -> Window:
    bounds = {
        name: None if told[name] is None else datetime.fromisoformat(told[name])
        for name in ("since", "until", "before")
    }
    return Window(attribute=told["attribute"], also=None if told["also"] is None else _decode(told["also"]), **bounds)
