"""Whether PCO keeps to the filters and orders by which the walks choose: it ignores what it does not know, with 200."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise

from pco_catalog.catalog import Entity
from pco_catalog.changes import can_be_ranged
from pco_client.documents import Page, Resource
from pco_client.errors import PcoError
from pco_client.sansio import Where
from pco_walks.hidden import count_hidden
from pco_walks.window import ONE_SECOND, Window, last_closed_second
from tasks.deletions.deleted_filter import FILTERS
from tasks.doctor.asking import Asker
from tasks.doctor.findings import FILTER, NEWEST, UPDATED, Finding, named, refusal
from tasks.doctor.first_page import FEW, resources_of, time_of

TRIES = 2
"""Of one record that a filter leaves out: it may just have changed. Two of them do not."""
NEWEST_READ = 25


async def judge_filters(asker: Asker, entity: Entity, page: Page) -> list[Finding]:
    """Of a list at top level whose first `page` was read by id: every filter and order that a way relies on."""
    assert entity.list_path is not None, "it is listed at top level"
    resources = resources_of(page, entity)
    found = [
        await _judge_range(asker, entity, page, resources, attribute)
        for attribute in ("created_at", "updated_at")
        if can_be_ranged(entity, attribute)
    ]
    is_filtered = any((one.assumption, one.verdict) == (UPDATED, "holds") for one in found)
    if "updated_at" in entity.can_order_by and not is_filtered:
        found.append(await _judge_newest(asker, entity, page, resources))
    name = next((one for one in FILTERS if one in entity.filters_at(entity.list_path)), None)
    if name is not None:
        found.append(await _judge_deleted(asker, entity, resources, name))
    return found


async def _judge_range(
    asker: Asker, entity: Entity, page: Page, resources: Sequence[Resource], attribute: str
) -> Finding:
    finding = partial(Finding, entity.name, f"where[{attribute}]")
    if page.can_query_by is not None and attribute not in page.can_query_by:
        return finding("fails", "can_query_by does not name it")
    times = {one.id: at for one in resources if (at := time_of(one, attribute)) is not None}
    chosen = _tellable(times)
    if not chosen:
        return finding("unseen", "no two records with different times" if resources else "no records")
    inside = outside = 0
    try:
        for identity, at in chosen:
            window = Window(attribute=attribute, since=at, until=at + ONE_SECOND)
            answer = await asker.page(entity, entity.list_path or "", where=window.where())
            shown = resources_of(answer, entity)
            rows = [{attribute: time_of(one, attribute)} for one in shown]
            outside = sum(row[attribute] is None or not window.holds(row) for row in rows)
            if outside:
                return finding("fails", f"{outside} of {len(rows)} records are outside of what was requested")
            inside = len(rows)
            if answer.next_offset is not None or any(one.id == identity for one in shown):
                break
        else:
            return finding("fails", "it leaves out records that are in what was requested")
        is_all_seen = page.next_offset is None and len(times) == len(page.records)
        hidden = await _hidden(asker, entity, page) if attribute == "created_at" and not is_all_seen else 0
        if hidden is None:
            return finding("unseen", "what it leaves out cannot be told: the lists are not counted")
        if hidden:
            return finding("fails", f"it leaves out {hidden} records, as if they had no such time")
    except PcoError as error:
        return finding("unseen", refusal(error))
    return finding("holds", f"{inside} of {page.total_count} records" if page.total_count else f"{inside} records")


def _tellable(times: dict[str, datetime]) -> list[tuple[str, datetime]]:
    """Records by whose time the filter can be told from none: some others lie outside of the second around it."""
    middle_first = sorted(times.items(), key=lambda one: abs(len(times) // 2 - list(times).index(one[0])))
    return [
        (identity, at)
        for identity, at in middle_first
        if any(abs(other - at) > 3 * ONE_SECOND for other in times.values())
    ][:TRIES]


async def _hidden(asker: Asker, entity: Entity, page: Page) -> int | None:
    """How many records the window of a full walk would leave out, None if PCO does not count.

    All is asked for only if the counts differ at all.
    """
    until = last_closed_second(datetime.now(UTC) + asker.clock_offset - timedelta(minutes=1))
    window = Window(attribute="created_at", since=None, until=until)

    async def count(where: tuple[Where, ...]) -> int | None:
        return (await asker.page(entity, entity.list_path or "", per_page=1, where=where)).total_count

    if page.total_count is None:
        return None
    if await count(window.where()) == page.total_count:
        return 0
    counting = count_hidden(window)
    try:
        asked = next(counting)
        while True:
            asked = counting.send(await count(asked))
    except StopIteration as done:
        left_out: int | None = done.value
        return left_out


async def _judge_newest(asker: Asker, entity: Entity, page: Page, resources: Sequence[Resource]) -> Finding:
    finding = partial(Finding, entity.name, NEWEST)
    if page.can_order_by is not None and "updated_at" not in page.can_order_by:
        return finding("fails", "can_order_by does not name it")
    by_id = [at for one in resources if (at := time_of(one, "updated_at")) is not None]
    if len(set(by_id)) < FEW:
        return finding("unseen", "no two records with different times" if resources else "no records")
    if by_id == sorted(by_id, reverse=True):
        return finding("unseen", "by id it is in this order already")
    try:
        answer = await asker.page(entity, entity.list_path or "", per_page=NEWEST_READ, order="-updated_at")
    except PcoError as error:
        return finding("unseen", refusal(error))
    times = [at for one in resources_of(answer, entity) if (at := time_of(one, "updated_at")) is not None]
    wrong = sum(later > earlier for earlier, later in pairwise(times))
    if wrong:
        return finding("fails", f"{wrong} of {len(times)} records are newer than the one before them")
    if not times or max(by_id) > times[0]:
        return finding("fails", "the first record is not the newest")
    return finding("holds", f"{len(times)} records")


async def _judge_deleted(asker: Asker, entity: Entity, resources: Sequence[Resource], name: str) -> Finding:
    finding = partial(Finding, entity.name, f"{FILTER}{name}")
    if not resources:
        return finding("unseen", "no records")
    try:
        answer = await asker.page(entity, entity.list_path or "", filter=name)
    except PcoError as error:
        return finding("unseen", refusal(error))
    if answer.can_filter is None or name not in answer.can_filter:
        return finding("fails", f"can_filter does not name {named([name])}")
    shown = {one.id for one in resources_of(answer, entity)}
    alive = len(shown & {one.id for one in resources})
    if alive:
        return finding("fails", f"{alive} of {len(shown)} records are in the list without it, too")
    return finding("holds", f"{len(shown)} deleted records")
