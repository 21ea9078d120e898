"""How a page is processed: as a Prefect task of its own, or directly where many small lists share a flow run."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from tasks.lifespan import Resources
from tasks.pages.apply_page import apply_page, process_page
from tasks.pages.page_ref import PageRef
from tasks.pages.sync_context import current_sync
from tasks.retries import delays_of, is_worth_a_retry, is_worth_a_retry_of_a_part, part_delays, retried
from tasks.settings import SyncSettings

ProcessPage = Callable[[PageRef], Awaitable[dict[str, Any]]]
"""Applies a page of the current sync and gives its receipt (`PageReceipt` as a dict)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageProcessing:
    """`whole` reads a page with all its retries; `part` reads parts of a page that could not be read, with few."""

    whole: ProcessPage
    part: ProcessPage


async def as_tasks(resources: Resources) -> PageProcessing:
    """One Prefect task per page: named, cached, retried and shown by Prefect.

    A cached receipt counts for a page that the ledger has, and for no other: the ledger may be an older copy of the one
    for which the page was processed.
    """
    storage = await resources.receipts()

    def configured(delays: Sequence[float], *, is_part: bool = False) -> ProcessPage:
        known = process_page.with_options(
            result_storage=storage,
            retries=len(delays),
            retry_delay_seconds=list(delays),
            retry_condition_fn=is_worth_a_retry_of_a_part if is_part else is_worth_a_retry,
        )
        new = known.with_options(refresh_cache=True)

        async def process(page: PageRef) -> dict[str, Any]:
            return await (known if page.place in current_sync().committed else new)(page)

        return process

    of_parts = part_delays(first=resources.settings.retry_first_seconds)
    return PageProcessing(whole=configured(resources.delays), part=configured(of_parts, is_part=True))


def directly(settings: SyncSettings, *, within: float | None = None) -> PageProcessing:
    """The same steps and retries without a task: the ledger remembers, Prefect shows the flow run only.

    `within`: seconds after which a page is not tried again.
    """
    return PageProcessing(
        whole=partial(_process, delays=delays_of(settings), within=within),
        part=partial(_process, delays=part_delays(first=settings.retry_first_seconds), is_part=True),
    )


def first_directly(resources: Resources, *, within: float | None = None) -> PageProcessing:
    """A list's first page directly, which is the whole of most lists; all behind it, and parts of a page, as tasks.

    `within`: of the first page, as in `directly`.
    """
    alone, made = directly(resources.settings, within=within), list[PageProcessing]()

    async def tasks() -> PageProcessing:
        if not made:
            made.append(await as_tasks(resources))
        return made[0]

    async def whole(page: PageRef) -> dict[str, Any]:
        is_first = page.part == 0 and page.offset == 0
        return await (alone if is_first else await tasks()).whole(page)

    async def part(page: PageRef) -> dict[str, Any]:
        return await (await tasks()).part(page)

    return PageProcessing(whole=whole, part=part)


async def _process(
    page: PageRef, *, delays: Sequence[float], is_part: bool = False, within: float | None = None
) -> dict[str, Any]:
    sync = current_sync()
    applied = await retried(
        lambda attempt: apply_page(sync, page, attempt=attempt), delays=delays, is_part=is_part, within=within
    )
    return asdict(applied)
