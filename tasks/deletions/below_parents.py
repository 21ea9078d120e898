"""After a complete fan-out: which records are gone from PCO that it shows below their parents only.

A record that is missing from one parent's list may have moved to another's, and a tag is listed below many groups; so
it is decided once for the whole fan-out. What stood below a parent that is known to be deleted, and that has no list
any more, is gone with it. All else that was listed below no parent is asked for below those that its row and its links
name. The argument in full: docs/adr/0013-missing-from-every-list.md. What came with the records is looked for then, too
(`with_owners`), before the fan-out is settled: so whoever continues it finds what is left to do.
"""

import asyncio
from collections.abc import Mapping, Set
from zlib import crc32

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import load_catalog
from pco_catalog.chains import Level, chain_to
from pco_client.client import PcoClient
from pco_store.due.budget import kept_aside, read_night
from pco_store.ledger.deletions.answers import ASKING_SECONDS, Found, forget_answers, note_asking, read_answers
from pco_store.ledger.deletions.missing import ReadLists, find_missing, read_owners
from pco_store.ledger.deletions.missing_below import (
    find_missing_below,
    former_lists,
    gone_with_parents,
    is_complete,
    reserve_requests,
    settle,
    settled_deletions,
)
from pco_store.ledger.members import members_of
from pco_store.ledger.results import keep_deletions
from pco_store.ledger.run_facts import epoch_facts
from pco_store.ledger.runs import RunHandle, finish_run
from pco_store.mirror.tables import mirror_table
from tasks.background import interrupt
from tasks.deletions.absence import PER_CHECKPOINT, WITNESS_LOOKS, Absent, Asking, Checkpoints
from tasks.deletions.from_a_list import (
    FOR_A_PERSON,
    Deletions,
    ManyDeletions,
    Verdict,
    doubt_about,
    told_before,
)
from tasks.deletions.with_owners import find_deletions_with_owners
from tasks.lifespan import Resources
from tasks.logs import sync_logger
from tasks.pages.run_walk import companion_of
from tasks.pages.sync_context import SyncContext, lane_of
from tasks.patience import patiently
from tasks.verification.includes import distrust_short_includes


async def find_deletions_below(
    resources: Resources, client: PcoClient, root: RunHandle, *, many: ManyDeletions
) -> Deletions | None:
    """Mark as deleted what a complete fan-out did not list; what was found out before is only told.

    None: it is not complete, children are dead or cancelled, or somebody else is at it. Safe to repeat. Raises the
    client's errors that are not about one record, and the store's.
    """
    known = await patiently(resources, lambda connection: settled_deletions(connection, root.run_id))
    if known is not None:
        return told_before(known)
    if not await patiently(resources, lambda connection: is_complete(connection, root.run_id)):
        return None
    await patiently(resources, lambda connection: note_asking(connection, root.run_id))
    alive = asyncio.create_task(_stay_alive(resources, root.run_id))
    try:
        return await _find_deletions(resources, client, root, many=many)
    finally:
        await interrupt(alive)


async def _stay_alive(resources: Resources, root_id: int) -> None:
    while True:
        await asyncio.sleep(ASKING_SECONDS / 4)
        await patiently(resources, lambda connection: note_asking(connection, root_id))


async def _find_deletions(
    resources: Resources, client: PcoClient, root: RunHandle, *, many: ManyDeletions
) -> Deletions | None:
    catalog = load_catalog()
    entity = catalog.entity(root.entity)
    assert root.fan_out is not None, "only a fan-out has children"
    level = chain_to(catalog, entity, root.fan_out.below).levels[-1]
    brought = await _brought(resources, client, root, level)
    if root.mode == "full":
        await distrust_short_includes(resources, brought)
    missing = await patiently(resources, lambda connection: find_missing_below(connection, root, level))
    lists: dict[str, list[list[str]]] = {}
    with_parents: frozenset[str] = frozenset()
    if missing.ids and not missing.unread:
        with_parents = await patiently(
            resources, lambda connection: gone_with_parents(connection, root, level, missing.ids)
        )
    asked_for = [one for one in missing.ids if one not in with_parents]
    if asked_for:
        lists = await patiently(resources, lambda connection: former_lists(connection, root, level, asked_for))
    paths, then = ({one: [f"{path}/{one}" for path in where[time]] for one, where in lists.items()} for time in (0, 1))
    unplaced = len(asked_for) - len(paths)
    if unplaced:
        sync_logger().warning(
            "%s: %d records are in no list of this fan-out, and nobody knows below which parents they were; they stay",
            root.key,
            unplaced,
        )
    witnesses = [f"{level.path_of(scope)}/{one}" for scope, one in missing.witnesses]
    asking = Asking(
        client=brought.patient,
        in_flight=resources.settings.pages_in_flight,
        api_version=entity.api_version,
        clock_offset=brought.clock_offset,
        witnesses=witnesses or [f"/{entity.product}/v2"],
    )
    verdict: Verdict = "confirmed" if with_parents else "none"
    absent: list[Absent] | None = None
    undecided, sent_before = list(paths), 0
    if paths and missing.unread:
        verdict = "parents_unread"
    elif paths and (doubt := doubt_about(undecided, live=missing.live, seen=bool(witnesses), many=many)) != "none":
        verdict = doubt
    elif paths:
        costs = {one: len(paths[one]) + len(then[one]) for one in paths}
        asked, sent_before = await patiently(
            resources, lambda connection: affordable_records(connection, root, costs, many=many)
        )
        verdict = "confirmed" if len(asked) == len(paths) else "over_budget"
        if asked:
            now = {one: paths[one] for one in asked}
            absent = await asking.find_absent(now, Checkpoints(resources=resources, run=root), then=then)
            verdict = "not_provable" if absent is None else verdict
        if absent is not None or not asked:
            undecided = [one for one in paths if one not in asked]
    found: list[Found] = [("absent", one.ids, one.at) for one in absent or ()]
    if with_parents:
        found.append(("with its owner", sorted(with_parents), root.started_at))
    gone_owners = {one: at for _, ids, at in found for one in ids}
    missed = len(with_parents) + len(paths)
    if verdict == "over_budget":
        missed = sum(len(ids) for _, ids, _ in found) + len(undecided)
    within = None if root.mode == "full" else ReadLists(root_id=root.run_id, level=level)
    with_owners = {
        include: await find_deletions_with_owners(
            resources, brought, one, many=many, within=within, gone_owners=gone_owners
        )
        for include, one in brought.companions.items()
        if not missing.unread
    }

    async def write_down(connection: AsyncConnection) -> int | None:
        kept_due: set[str] = set()
        for include, one in brought.companions.items():
            if within is not None and with_owners[include].verdict in FOR_A_PERSON:
                left = await find_missing(connection, one.run, one.table, within=within)
                kept_due |= set((await read_owners(connection, root.org_id, one.table, level.path, left.ids)).values())
        deleted = await settle(
            connection,
            root,
            level,
            verdict=verdict,
            missing=missed,
            unplaced=unplaced,
            requests=sent_before + brought.patient.requests,
            found=found,
            undecided=undecided,
            kept_due=kept_due,
        )
        if deleted is not None:
            await forget_answers(connection, root.run_id)
            for include, one in brought.companions.items():
                if (came := with_owners.get(include)) is not None:
                    await keep_deletions(
                        connection,
                        one.run,
                        verdict=came.verdict,
                        missing=came.missing,
                        deleted=came.deleted,
                        unplaced=came.unplaced,
                    )
                await finish_run(connection, one.run, "completed")
        return deleted

    deleted = await patiently(resources, write_down)
    if deleted is None:
        known = await patiently(resources, lambda connection: settled_deletions(connection, root.run_id))
        return None if known is None else told_before(known)
    return Deletions(verdict=verdict, missing=missed, deleted=deleted, unplaced=unplaced)


async def affordable_records(
    connection: AsyncConnection, root: RunHandle, costs: Mapping[str, int], *, many: ManyDeletions
) -> tuple[Set[str], int]:
    """Of these records, by the requests that asking for each of them takes, those for which the budget of a night has
    room; all, if it is none, or a person has accepted `many`. What they take is reserved.

    Which they are is chance, so that none of them waits for ever; so the first is asked for alone if it takes more than
    a night keeps aside. What was reserved for an earlier execution may have been sent, so that is returned, too; what
    that one was told costs nothing.
    """
    night = await read_night(connection, root.org_id, root.epoch, is_locked=True)
    if night is None:
        return costs.keys(), 0
    facts = await epoch_facts(connection, org_id=root.org_id, epoch=root.epoch)
    left = night.left(facts)
    known = costs.keys() & await read_answers(connection, root.run_id)
    asked: list[str] = []
    reserved = 0
    waiting = sorted(costs.keys() - known, key=lambda one: crc32(f"{root.run_id} {one}".encode()))
    for place, one in enumerate(waiting):
        cost = costs[one] + (0 if len(asked) % PER_CHECKPOINT else WITNESS_LOOKS)
        is_alone = not place and cost > kept_aside(night.budget) and left > 0
        if many == "accept" or is_alone or reserved + cost <= left:
            asked.append(one)
            reserved += cost
    before = sum(int((one.deletions or {}).get("requests", 0)) for one in facts if one.run_id == root.run_id)
    await reserve_requests(connection, root.run_id, before + reserved)
    return known.union(asked), before


async def _brought(resources: Resources, client: PcoClient, root: RunHandle, level: Level) -> SyncContext:
    """The lists of a fan-out as one, with all that came with their records."""
    members = await patiently(resources, lambda connection: members_of(connection, root))
    return SyncContext(
        run=root,
        entity=level.entity,
        path=level.path,
        table=mirror_table(level.entity),
        windows={},
        client=client,
        patient=resources.patient_client(client, lane=lane_of(root.org_id, level.entity)),
        database=resources.database,
        large_pages=resources.large_pages,
        in_flight=resources.settings.pages_in_flight,
        clock_offset=await resources.clock_offset(),
        companions={one.include: companion_of(one) for one in members if one.dropped is None},
        included=tuple(one.include for one in members),
        naming=level.include,
    )
