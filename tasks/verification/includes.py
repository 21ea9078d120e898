"""Whether an include is complete: a handful of owners are compared with their own lists, after each full reading.

An include that PCO cuts short in both halves looks like a short list. So the owners with most children, those whose
amounts do not add up, those that had children which nobody has shown this time, and some by chance are looked at again
by a way that the include does not share. One child that an owner's own list shows, and that the owner's page has
neither brought nor brings when it is asked for again, is enough. It is the page that is asked for again, not the owner
alone: what is cut may depend on how much the page brings.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final
from zlib import crc32

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.ancestors import ids_in, path_below
from pco_client.documents import Json
from pco_client.sansio import PageRequest
from pco_store.churches.wall import refuse_removed
from pco_store.ledger.deletions.missing import find_missing, read_owners, shown_of
from pco_store.ledger.members import drop_member, page_that_showed
from pco_store.ledger.runs import check_fence
from pco_store.mirror.owners import owners_by_chance, owners_that_do_not_add_up, owners_with_most
from tasks.background import in_parallel
from tasks.lifespan import Resources
from tasks.logs import sync_logger
from tasks.pages.own_list import NOT_SHOWN, read_own_list
from tasks.pages.run_walk import parts_of
from tasks.pages.sync_context import Companion, SyncContext
from tasks.patience import patiently
from tasks.retries import POISONOUS
from tasks.rows.sideloaded import divide_included

OF_EACH: Final = 2
"""Owners that are looked at for each reason: most children, sums that do not add up, chance."""

OF_MISSING: Final = 10
"""Owners that are looked at because children of theirs are missing: most of those were deleted, one may be cut."""

AMOUNT: Final = "amount_cents"
"""What an owner says in all, and its children in parts, where both have such a column."""


async def distrust_short_includes(resources: Resources, sync: SyncContext) -> None:
    """Drop each companion of a run whose include lacks a child that an owner's own list shows.

    For a walk that is complete, or a fan-out, whose lists are one to it. What was created since is no fault: the
    owner's page is asked for again. An owner that PCO cannot show is not compared. Raises the errors of the client that
    are not about one owner, `LeaseLost`, and the store's errors.
    """
    for include, companion in list(sync.companions.items()):
        column = companion.sideload.owner_column
        if column not in companion.table.columns:
            continue  # many owners share its records: none of them can be told to lack one
        if include not in sync.companions:
            continue  # it came with the records of one that is dropped
        owners = await _owners(resources, sync, companion)
        found = await in_parallel(_compared(resources, sync, companion, owner) for owner in owners)
        lacking = next(filter(None, found), 0)
        if lacking:
            reason = f"{include} of one record lacks {lacking} that its own list shows"
            await patiently(resources, partial(_drop, sync=sync, companion=companion, reason=reason))
            sync.forget_companion(include)
            sync_logger().warning("%s: %s is not trusted any more: %s", sync.run.key, include, reason)


async def _drop(connection: AsyncConnection, sync: SyncContext, companion: Companion, reason: str) -> None:
    if sync.run.fan_out is None:
        await check_fence(connection, sync.run)
    else:
        await refuse_removed(connection, sync.run.org_id)
    await drop_member(connection, companion.run, companion.sideload, reason)


async def _owners(resources: Resources, sync: SyncContext, companion: Companion) -> Sequence[str]:
    org_id, column, path = sync.run.org_id, companion.sideload.owner_column, companion.sideload.path

    async def read(connection: AsyncConnection) -> list[str]:
        found = [*await owners_with_most(connection, org_id, companion.entity, path, limit=OF_EACH)]
        if AMOUNT in sync.table.columns and AMOUNT in companion.table.columns:
            found += await owners_that_do_not_add_up(
                connection,
                org_id,
                sync.table,
                companion.table,
                column,
                amount=AMOUNT,
                seed=sync.run.token,
                limit=OF_EACH,
            )
        found += await _owners_of_missing(connection, sync, companion)
        found += await owners_by_chance(connection, org_id, sync.entity, path, seed=sync.run.token, limit=OF_EACH)
        return list(dict.fromkeys(found))

    return await patiently(resources, read)


async def _owners_of_missing(connection: AsyncConnection, sync: SyncContext, companion: Companion) -> list[str]:
    """Those that the run has shown; with others all of theirs may be gone."""
    run, table, path = companion.run, companion.table, companion.sideload.path
    if not set(ids_in(path)) <= set(table.columns.keys()):
        return []
    missing = await find_missing(connection, run, table)
    if not missing.ids:
        return []
    owners = set((await read_owners(connection, run.org_id, table, path, missing.ids)).values())
    by_id = {one.rpartition("/")[2]: one for one in owners}
    shown = await shown_of(connection, sync.run, list(by_id))
    return [by_id[one] for one in sorted(shown, key=lambda one: crc32(f"{sync.run.token} {one}".encode()))[:OF_MISSING]]


async def _compared(resources: Resources, sync: SyncContext, companion: Companion, owner: str) -> int:
    """As `_lacking`, patiently; 0 also where PCO can never answer for this owner."""
    try:
        return await sync.patient.patiently(partial(_lacking, resources, sync, companion, owner), is_one_record=True)
    except POISONOUS as error:
        sync_logger().warning("%s: what came with one record is not compared: %s", sync.run.key, error.message)
        return 0


async def _lacking(resources: Resources, sync: SyncContext, companion: Companion, owner: str) -> int:
    """How many children of an owner its own list shows, and its page neither brought nor brings; 0 if PCO does not show
    that list or the page, which says nothing against the include."""
    try:
        return await _lacking_of_shown(resources, sync, companion, owner)
    except NOT_SHOWN as error:
        sync.patient.requests += 1
        sync_logger().warning("%s: what came with one record is not compared: %s", sync.run.key, error.message)
        return 0


async def _lacking_of_shown(resources: Resources, sync: SyncContext, companion: Companion, owner: str) -> int:
    own = await read_own_list(sync.client, companion.entity, companion.sideload.path, owner, lane=sync.lane)
    sync.patient.requests += own.requests
    ids = _ids(own.records)
    lacking = ids - await patiently(resources, partial(shown_of, run=companion.run, ids=list(ids)))
    return len(lacking - await _brought_again(resources, sync, companion, owner, lacking)) if lacking else 0


async def _brought_again(
    resources: Resources, sync: SyncContext, companion: Companion, owner: str, wanted: frozenset[str]
) -> frozenset[str]:
    """Which of these children the page brings that showed the owner; all of them if it does not show the owner any
    more, or says itself that it does not bring all: that is no cut that nobody sees."""
    list_scope, _, owner_id = owner.rpartition("/")
    found = await patiently(
        resources,
        partial(page_that_showed, run=sync.run, entity=sync.entity.name, scope=list_scope, record_id=owner_id),
    )
    if found is None:
        return wanted
    run, part, offset, size = found
    window = next(one.window for one in parts_of(run)[0] if one.number == part)
    request = PageRequest(
        path=path_below(companion.sideload.owner_path, owner).rpartition("/")[0],
        api_version=sync.entity.api_version,
        offset=offset,
        per_page=size,
        where=window.where(),
        order=window.order,
        include=(*sync.included, *sync.naming),
    )
    async with sync.large_pages:
        fetched = await sync.client.fetch_page(request, expected_type=sync.entity.resource, lane=sync.lane)
    sync.patient.requests += fetched.requests
    page, pairs = fetched.page, [(one.sideload, one.entity) for one in sync.companions.values()]
    kinds = divide_included(page.records, page.included, pairs, list_scope=list_scope)
    kind = next(one for one in kinds if one.sideload is companion.sideload)
    if owner_id not in _ids(page.records) or owner in kind.untold:
        return wanted
    return _ids(kind.records)


def _ids(records: Sequence[Json]) -> frozenset[str]:
    return frozenset(str(one["id"]) for one in records if isinstance(one, dict) and one.get("id") is not None)
