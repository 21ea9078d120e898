"""After a complete walk: which of the records that came with the list's are gone.

What belonged to an owner that is found to be deleted is gone with it, however much it is. All else is asked for below
the owner that its row names, by the rules of every deletion (`from_a_list`): twice, beside witnesses, and not if there
are too many. So an include that PCO cuts short never costs a row. It may have moved to an owner whose page had been
read before, too: so it is only asked for if the full reading before this one did not show it either. A night does not
wait: what it has read of some owners says nothing about others, and the turn of the other owner lifts the tombstone
(ADR 21).

A record that many owners share, and that PCO shows with them only, cannot be asked for: its row names none of them. It
is what its owners show, so it is gone when two full readings in a row of all of them have not shown it, and no owner
that they have not shown points to it: a list may leave out owners (archived groups), and a page may stand in
quarantine. So is one whose row names no owner, for none named it when it came; unless an owner stands in quarantine.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from types import MappingProxyType

from pco_catalog.ancestors import ids_in, is_shared, path_below
from pco_store.ledger.deletions.answers import Found, settle_run
from pco_store.ledger.deletions.missing import (
    MissingRecords,
    ReadLists,
    find_missing,
    gone_with_owners,
    has_aside,
    named_by_unread_owners,
    read_owners,
    shown_before,
)
from pco_store.ledger.deletions.missing_below import settled_deletions
from tasks.deletions.absence import Asking, Checkpoints
from tasks.deletions.from_a_list import Deletions, ManyDeletions, Verdict, doubt_about, told_before
from tasks.lifespan import Resources
from tasks.pages.sync_context import Companion, SyncContext
from tasks.patience import patiently


async def find_deletions_with_owners(
    resources: Resources,
    sync: SyncContext,
    companion: Companion,
    *,
    many: ManyDeletions,
    within: ReadLists | None = None,
    gone_owners: Mapping[str, datetime] = MappingProxyType({}),
) -> Deletions:
    """Mark as deleted what no owner of a complete walk showed, and that PCO answers 404 for, twice.

    `within` are the lists of owners that a night has read. `gone_owners` are owners that were just found to be deleted,
    and when. Safe to repeat, and continued where it was interrupted. Raises the client's errors that are not about one
    record, `LeaseLost`, and the store's errors.
    """
    run, table = companion.run, companion.table
    settled = await patiently(resources, lambda connection: settled_deletions(connection, run.run_id))
    if settled is not None:
        return told_before(settled)
    missing = await patiently(resources, lambda connection: find_missing(connection, run, table, within=within))
    if not missing.ids:
        return Deletions()
    is_shown_by_owners_only = is_shared(companion.entity, companion.sideload.path) and not companion.entity.list_paths
    owners = {} if is_shown_by_owners_only else await _owners(resources, companion, missing)
    known = {one: owners[one] for one in missing.ids if one in owners}
    by_owner = {one: owner.rpartition("/")[2] for one, owner in known.items()}
    gone = await patiently(
        resources, partial(gone_with_owners, org_id=run.org_id, owners=sync.table, by_owner=by_owner)
    )
    gone |= {one: gone_owners[owner] for one, owner in by_owner.items() if owner in gone_owners}
    if doubtful := [one for one in missing.ids if one not in gone]:
        doubt = doubt_about(doubtful, live=missing.live, seen=bool(missing.witnesses), many=many)
        if doubt != "none":
            told = {"verdict": doubt, "missing": len(missing.ids)}
            settle = partial(settle_run, run=run, table=table, told=told, found=_with_owners(gone))
            return Deletions(verdict=doubt, missing=len(missing.ids), deleted=await patiently(resources, settle))
    if is_shown_by_owners_only:
        return await _shown_by_nobody(resources, sync, companion, missing)
    is_single = companion.sideload.path in companion.entity.single_paths

    def path_of(one: str) -> str:
        path = path_below(companion.sideload.path, owners[one])
        return path if is_single else f"{path}/{one}"

    asking = Asking(
        client=sync.patient,
        in_flight=resources.settings.pages_in_flight,
        api_version=companion.entity.api_version,
        clock_offset=sync.clock_offset,
        witnesses=[path_of(one) for one in missing.witnesses if one in owners] or [f"/{sync.entity.product}/v2"],
        is_single=is_single,
    )
    unplaced = [one for one in missing.ids if one not in owners]
    unshown: list[str] = []
    if within is None and unplaced and not await patiently(resources, partial(has_aside, run_id=sync.run.run_id)):
        before = await patiently(resources, partial(shown_before, run=run, ids=unplaced))
        unshown = [one for one in unplaced if one not in before]
    later: frozenset[str] = frozenset()
    if within is None:
        left = [one for one in known if one not in gone]
        later = await patiently(resources, partial(shown_before, run=run, ids=left))
    asked = {one: [path_of(one)] for one in known if one not in gone and one not in later}
    absent = await asking.find_absent(asked, Checkpoints(resources=resources, run=run)) if asked else []
    verdict: Verdict = "not_provable" if absent is None else "confirmed"
    found = len(asked) + len(gone) + len(unshown)
    left_alone = len(unplaced) - len(unshown)
    deleted = await patiently(
        resources,
        partial(
            settle_run,
            run=run,
            table=table,
            told={"verdict": verdict, "missing": found, "unplaced": left_alone},
            found=[
                *(("absent", one.ids, one.at) for one in absent or ()),
                *_with_owners(gone),
                ("shown by no owner", unshown, run.started_at),
            ],
        ),
    )
    return Deletions(verdict=verdict, missing=found, deleted=deleted, unplaced=left_alone)


async def _shown_by_nobody(
    resources: Resources, sync: SyncContext, companion: Companion, missing: MissingRecords
) -> Deletions:
    run = companion.run
    alive = await patiently(resources, partial(shown_before, run=run, ids=missing.ids))
    alive |= await patiently(
        resources,
        partial(
            named_by_unread_owners,
            run=sync.run,
            owners=sync.table,
            column=f"{companion.sideload.include}_id",
            ids=missing.ids,
        ),
    )
    gone = [one for one in missing.ids if one not in alive]
    deleted = await patiently(
        resources,
        partial(
            settle_run,
            run=run,
            table=companion.table,
            told={"verdict": "confirmed", "missing": len(gone)},
            found=[("shown by no owner", gone, run.started_at)],
        ),
    )
    return Deletions(verdict="confirmed", missing=len(gone), deleted=deleted)


async def _owners(resources: Resources, companion: Companion, missing: MissingRecords) -> dict[str, str]:
    path = companion.sideload.path
    if not set(ids_in(path)) <= set(companion.table.columns.keys()):
        return {}
    return await patiently(
        resources,
        partial(
            read_owners,
            org_id=companion.run.org_id,
            table=companion.table,
            path=path,
            ids=[*missing.ids, *missing.witnesses],
        ),
    )


def _with_owners(gone: Mapping[str, datetime]) -> list[Found]:
    by_time: dict[datetime, list[str]] = {}
    for one, at in gone.items():
        by_time.setdefault(at, []).append(one)
    return [("with its owner", ids, at) for at, ids in by_time.items()]
