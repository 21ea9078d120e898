"""After a complete walk: which records are gone from PCO, asked one by one before any is marked as deleted.

PCO has no feed of deletions. What a complete walk did not show may be deleted; or the credential lost a permission, or
the list leaves it out. So each missing record is asked for by its id, twice, and a record that the walk did show is
asked for before, between and after: as long as that one is answered, a 404 says something about the other. Where PCO
shows deleted records by a filter, those that it shows are known without asking. A record that is shown after all, as
an archived group is, is stored as it is now: no page will show it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal

from pco_client.documents import Json
from pco_store.ledger.deletions.answers import Found, settle_run
from pco_store.ledger.deletions.missing import find_missing
from pco_store.ledger.deletions.missing_below import settled_deletions
from pco_store.ledger.runs import RunHandle
from tasks.deletions.absence import Asking, Checkpoints
from tasks.deletions.deleted_filter import find_shown_as_deleted
from tasks.lifespan import Resources
from tasks.pages.sync_context import SyncContext
from tasks.patience import patiently
from tasks.reports.counted import there_are
from tasks.rows.transform import transform_page

ManyDeletions = Literal["stop", "accept"]
"""stop: more missing records than are likely to have been deleted are left for a person to decide about."""

LIKELY_ROWS: Final = 50
LIKELY_SHARE: Final = 0.05
"""So many missing records, or this share of the table if that is more, may be deletions without anybody being asked."""

Verdict = Literal["none", "confirmed", "too_many", "list_is_empty", "not_provable", "parents_unread", "over_budget"]

_DECIDE: Final = "look at them, then start a new turn with many_deletions 'accept'"
UNSETTLED: Final[dict[Verdict, str]] = {
    "too_many": f"they are more than are likely to have been deleted; {_DECIDE}",
    "list_is_empty": f"the list is empty, and may only be hidden; {_DECIDE}",
    "not_provable": "PCO does not show any record of this list when it is asked for by its id",
    "parents_unread": "some parents may not be read, and what is missing may be below them",
    "over_budget": "the budget of the night had no room to request all of them, the next nights do it",
}
"""Verdicts by which some or all were not marked as deleted, and why."""
FOR_A_PERSON: Final[tuple[Verdict, ...]] = ("too_many", "list_is_empty")
"""Those about which a person decides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deletions:
    """What came of the missing records. `deleted` have their tombstone now.

    `unplaced` are missing beside them, and nobody knows below which parents they were: nothing is decided about those.
    """

    verdict: Verdict = "none"
    missing: int = 0
    deleted: int = 0
    unplaced: int = 0

    @property
    def unsettled(self) -> str | None:
        """What a person has to know, if something is missing and was not marked as deleted."""
        why = UNSETTLED.get(self.verdict)
        return why and f"{there_are(self.missing - self.deleted, 'record')} missing and not marked as deleted: {why}"


def many_deletions_of(run: RunHandle) -> ManyDeletions:
    """What the run was begun with, whoever continues it."""
    told = run.fan_out.many_deletions if run.fan_out is not None else (run.plan or {}).get("many_deletions")
    return "accept" if told == "accept" else "stop"


async def find_deletions(resources: Resources, sync: SyncContext, *, many: ManyDeletions) -> Deletions:
    """Mark as deleted what is missing from a walk that is complete, and that PCO answers 404 for, twice.

    Safe to repeat, and continued where it was interrupted. Raises the client's errors that are not about one record,
    `LeaseLost`, and the store's errors.
    """
    settled = await patiently(resources, lambda connection: settled_deletions(connection, sync.run.run_id))
    if settled is not None:
        return told_before(settled)
    missing = await patiently(resources, lambda connection: find_missing(connection, sync.run, sync.table))
    if not missing.ids:
        return Deletions()
    doubt = doubt_about(missing.ids, live=missing.live, seen=bool(missing.witnesses), many=many)
    if doubt != "none":
        return Deletions(verdict=doubt, missing=len(missing.ids))
    known = await find_shown_as_deleted(sync, missing.ids, alive=missing.witnesses)
    destroyed = known.ids if known else ()
    asking = Asking(
        client=sync.patient,
        in_flight=resources.settings.pages_in_flight,
        api_version=sync.entity.api_version,
        clock_offset=sync.clock_offset,
        # Where there is no witness, the product itself has to do.
        witnesses=[f"{sync.path}/{one}" for one in missing.witnesses] or [f"/{sync.entity.product}/v2"],
        row_of=partial(_row_of, sync),
    )
    checkpoints = Checkpoints(resources=resources, run=sync.run, table=sync.table)
    left = {one: [f"{sync.path}/{one}"] for one in missing.ids if one not in set(destroyed)}
    absent = await asking.find_absent(left, checkpoints) if left else []
    found: list[Found] = [("destroyed", known.ids, known.at)] if known else []
    found += [("absent", one.ids, one.at) for one in absent or ()]
    verdict: Verdict = "not_provable" if absent is None else "confirmed"
    settle = partial(
        settle_run,
        run=sync.run,
        table=sync.table,
        told={"verdict": verdict, "missing": len(missing.ids)},
        found=found,
    )
    deleted = await patiently(resources, settle)
    return Deletions(verdict=verdict, missing=len(missing.ids), deleted=deleted)


def _row_of(sync: SyncContext, record: Json, at: datetime) -> Mapping[str, object] | None:
    page = transform_page(
        [record],
        entity=sync.entity,
        org_id=sync.run.org_id,
        epoch=sync.run.epoch,
        observed_at=at,
        parents=sync.parents,
    )
    return page.rows[0] if page.rows else None


def told_before(settled: Mapping[str, Any]) -> Deletions:
    """What the ledger says about a run whose missing records were settled."""
    return Deletions(
        verdict=settled["verdict"],
        missing=settled["missing"],
        deleted=settled["deleted"],
        unplaced=settled.get("unplaced", 0),
    )


def doubt_about(missing: Sequence[str], *, live: int, seen: bool, many: ManyDeletions) -> Verdict:
    """Why nobody is to be asked about the missing records; `none` if nothing speaks against it.

    `seen`: at least one record of the same list was shown, so that it is not only hidden.
    """
    if many == "stop" and len(missing) > max(LIKELY_ROWS, LIKELY_SHARE * live):
        return "too_many"
    return "list_is_empty" if many == "stop" and not seen else "none"
