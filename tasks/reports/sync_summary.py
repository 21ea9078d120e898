"""What a sync did, in numbers: its return value, its closing table in the UI, and what the terminal prints."""

from datetime import datetime

from prefect.artifacts import acreate_table_artifact
from pydantic import BaseModel, ConfigDict

from pco_store.ledger.run_facts import RunFacts
from pco_store.ledger.runs import RunTotals
from tasks.deletions.from_a_list import Deletions
from tasks.pages.sync_context import SyncContext
from tasks.reports.artifacts import artifact_key, as_table, unless_refused
from tasks.reports.counted import counted
from tasks.reports.outcomes import End, Summarized, deletions_of, end_of, summarized_as


class SyncSummary(BaseModel):
    """The numbers of one epoch; `retries` and `seconds` are of the last execution only.

    `rows` counts every record in every page; one that was seen twice counts twice there and once in `records`.
    `missing` ones are in the mirror and were not in the list; of these, the `deleted` have a tombstone now. `merged`
    ones got theirs because PCO told of a merge. `fallback` says why not the best walk was taken. `processed_as_version`
    is set if PCO used another API version than the pinned one; `included_ignored` counts records that it sent without
    having been asked for them. Both are of the last execution, as `unknown_attributes` are. `quarantined` are those
    that nothing has resolved. `brought` are the kinds that were read with it. `reason` says what is left for a person,
    or why it failed.
    """

    model_config = ConfigDict(frozen=True)

    outcome: Summarized
    key: str
    org_id: str
    entity: str
    epoch: str
    reason: str = ""
    pages: int = 0
    records: int = 0
    rows: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    stale: int = 0
    misfits: int = 0
    quarantined: int = 0
    missing: int = 0
    deleted: int = 0
    merged: int = 0
    requests: int = 0
    waited_seconds: float = 0.0
    retries: int = 0
    seconds: float = 0.0
    continued: bool = False
    fallback: str = ""
    unknown_attributes: tuple[str, ...] = ()
    processed_as_version: str | None = None
    included_ignored: int = 0
    finished_at: datetime | None = None
    brought: dict[str, "SyncSummary"] = {}

    @property
    def told(self) -> str:
        """In a line: the counts, and what is left."""
        counts = (
            f"{counted(self.records, 'record')} in {counted(self.pages, 'page')}, {self.new} new, "
            f"{self.changed} changed, {self.unchanged} unchanged, {self.deleted} deleted, "
            f"{self.quarantined} quarantined"
        )
        kinds = ", ".join(
            f"{one.rows} {entity.partition('.')[2]} ({one.new} new, {one.changed} changed, {one.deleted} deleted)"
            for entity, one in self.brought.items()
            if one.rows or one.deleted
        )
        brought = f"; with them {kinds}" if kinds else ""
        return f"{counts}{brought}; {self.reason}" if self.reason else counts + brought


def summarize(
    sync: SyncContext,
    totals: RunTotals,
    deletions: Deletions,
    facts: RunFacts,
    *,
    merged: int,
    seconds: float,
    finished_at: datetime,
) -> SyncSummary:
    """The summary of a run that is about to be completed; `facts` are those of its last transaction."""
    run, end = sync.run, end_of(facts)
    return SyncSummary(
        outcome=end.outcome,
        key=run.key,
        org_id=run.org_id,
        entity=run.entity,
        epoch=run.epoch,
        reason=end.reason,
        pages=totals.pages,
        records=totals.distinct_ids,
        rows=totals.rows,
        new=totals.new,
        changed=totals.changed,
        unchanged=totals.unchanged,
        stale=totals.stale,
        misfits=totals.misfits,
        quarantined=facts.quarantined,
        missing=deletions.missing,
        deleted=deletions.deleted,
        merged=merged,
        requests=totals.requests + sync.patient.requests,
        waited_seconds=round(totals.waited_seconds, 3),
        retries=sync.tally.retries,
        seconds=round(seconds, 3),
        continued=not sync.run.is_new,
        fallback=sync.evidence.fallback,
        unknown_attributes=tuple(sorted(sync.drift.unknown_attributes)),
        processed_as_version=sync.drift.processed_as_version,
        included_ignored=sync.drift.included_ignored,
        finished_at=finished_at,
        brought={member.entity: summary_of(member)[0] for member in facts.members},
    )


def summary_of(facts: RunFacts, *, joined: bool = False) -> tuple[SyncSummary, End]:
    """A sync as the ledger shows it now: what it wrote down at its end, and what has been resolved since."""
    end, deletions = end_of(facts), deletions_of(facts)
    counted = {
        "pages": facts.pages,
        "rows": facts.rows,
        "new": facts.new,
        "changed": facts.changed,
        "unchanged": facts.unchanged,
        "requests": facts.requests,
        "missing": deletions.missing,
        "deleted": deletions.deleted,
    }
    written_down = dict(facts.result or {}) if facts.state == "completed" else {}
    now = {
        "outcome": summarized_as(end, joined=joined),
        "key": facts.key,
        "org_id": facts.org_id,
        "entity": facts.entity,
        "epoch": facts.epoch,
        "reason": end.reason,
        "quarantined": facts.quarantined,
        "brought": {member.entity: summary_of(member)[0] for member in facts.members},
    }
    return SyncSummary.model_validate({**counted, **written_down, **now}), end


async def publish_summary(summary: SyncSummary) -> None:
    """The closing table artifact."""
    numbers = summary.model_dump(mode="json", exclude={"unknown_attributes", "brought"})
    table = as_table({**numbers, **{entity: one.told for entity, one in summary.brought.items()}})
    key = artifact_key("sync", summary.org_id, summary.entity)
    with unless_refused("the closing table"):
        await acreate_table_artifact(table, key=key, description=f"{summary.entity} of {summary.org_id}")
