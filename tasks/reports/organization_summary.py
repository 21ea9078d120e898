"""What the sync of a whole church did, entity by entity: its return value, its table in the UI and on the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prefect.artifacts import acreate_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import load_catalog
from pco_store.ledger.results import LedgerRun
from pco_store.ledger.run_facts import RunFacts, epoch_facts
from tasks.reports.artifacts import artifact_key, unless_refused
from tasks.reports.counted import counted
from tasks.reports.outcomes import SPREADING, Outcome, Summarized, deletions_of, end_of

INCOMPLETE: Final = "CompletedIncomplete"
ORDER: Final[tuple[Outcome, ...]] = ("completed", "incomplete", "cancelled", "spreading", "unreadable", "failed")


@dataclass(frozen=True, kw_only=True, slots=True)
class EntityEnd:
    """How the flow run of one entity ended, and why if not well: what is known where the ledger shows no end."""

    outcome: Outcome
    reason: str = ""


class EntitySummary(BaseModel):
    """One entity's numbers. `lists` were read: one at top level, or one below each parent; `rows` are its own."""

    model_config = ConfigDict(frozen=True)

    entity: str
    outcome: Outcome
    lists: int = 0
    pages: int = 0
    rows: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    missing: int = 0
    deleted: int = 0
    quarantined: int = 0
    requests: int = 0
    reason: str = ""


class WaitingLists(BaseModel):
    """Lists below parents that were due at the end and not read, and for how many days one of them waits.

    `unread` are those that were never read either and that the nights of the next `unread_days` read, by entity.
    """

    model_config = ConfigDict(frozen=True)

    lists: int = 0
    never_read: int = 0
    longest_days: int = 0
    unread: dict[str, int] = Field(default_factory=dict)
    unread_days: int = 0

    @property
    def told(self) -> str:
        """In a few words."""
        never = f" ({self.never_read} of them were never read)" if self.never_read else ""
        told = f"{self.lists} wait{never}, the oldest for {self.longest_days} days" if self.lists else "none waits"
        if not self.unread:
            return told
        kinds = ", ".join(f"{count} of {entity}" for entity, count in sorted(self.unread.items()))
        left = counted(sum(self.unread.values()), "list")
        return f"{told}; not everything was read: the nights of {self.unread_days} days read {left} more ({kinds})"


class OrganizationSummary(BaseModel):
    """The numbers of one epoch of a church. `probes` are requests by which it was found out what may be read.

    `outcome` is the worst of its entities': failed if one failed, incomplete if anything is left for a person.
    `waiting` are lists that were left for the next nights, where the mode reads any below parents.
    """

    model_config = ConfigDict(frozen=True)

    outcome: Summarized
    key: str
    org_id: str
    epoch: str
    mode: str
    reason: str = ""
    entities: tuple[EntitySummary, ...] = ()
    seconds: float = 0.0
    waiting: WaitingLists | None = None
    probes: int = 0

    @property
    def requests(self) -> int:
        """Requests of all entities, and the probes."""
        return self.probes + sum(one.requests for one in self.entities)

    def of(self, outcome: Outcome) -> list[EntitySummary]:
        """The entities that ended so."""
        return [one for one in self.entities if one.outcome == outcome]

    @property
    def told(self) -> str:
        """The whole in one line, with the name of everything that is not complete."""
        counts = [f"{len(self.of(one))} {one}" for one in ORDER if self.of(one)]
        rows = sum(one.rows for one in self.entities)
        line = f"{', '.join(counts) or 'nothing to do'}; {counted(rows, 'row')} in {counted(self.requests, 'request')}"
        if self.waiting is not None:
            line += f"; {sum(one.lists for one in self.entities)} lists read, {self.waiting.told}"
        named = [
            f"{outcome}: {', '.join(one.entity for one in self.of(outcome))}"
            for outcome in ORDER[1:]
            if self.of(outcome)
        ]
        return ". ".join([line, *named])

    @property
    def state_name(self) -> str | None:
        """The name of the Completed state, where there is something to say."""
        return {"incomplete": INCOMPLETE, "spreading": SPREADING}.get(self.outcome)


def summarize_organization(
    run: LedgerRun,
    ended: Mapping[str, EntityEnd],
    facts: Sequence[RunFacts],
    *,
    seconds: float = 0.0,
    waiting: WaitingLists | None = None,
    probes: int = 0,
) -> OrganizationSummary:
    """The summary of a church that is over: by the ledger, and where that shows no end, by how its flow runs ended."""
    by_entity = {one.entity: one for one in facts}
    entities = tuple(
        _summarize(entity, ended.get(entity) or _end_of_list(entity, ended), by_entity.get(entity))
        for entity in sorted(ended.keys() | by_entity.keys())
    )
    return OrganizationSummary(
        outcome=_worst({one.outcome for one in entities}),
        key=run.key,
        org_id=run.org_id,
        epoch=run.epoch,
        mode=run.mode,
        entities=entities,
        seconds=round(seconds, 3),
        waiting=waiting,
        probes=probes,
    )


def ended_in(result: Mapping[str, Any] | None) -> dict[str, EntityEnd]:
    """What a church's run wrote down at its end of the entities that the ledger may know nothing of."""
    return {name: EntityEnd(**told) for name, told in (result or {}).get("ended", {}).items()}


def result_of(
    ended: Mapping[str, EntityEnd], *, seconds: float, waiting: WaitingLists | None = None, probes: int = 0
) -> dict[str, Any]:
    """The same, to be written down."""
    told = {name: {"outcome": end.outcome, "reason": end.reason} for name, end in ended.items()}
    return {
        "ended": told,
        "seconds": round(seconds, 3),
        "waiting": None if waiting is None else waiting.model_dump(),
        "probes": probes,
    }


def organization_of(run: LedgerRun, facts: Sequence[RunFacts], *, joined: bool = False) -> OrganizationSummary:
    """A church's epoch as the ledger shows it now: what has been replayed or resolved since its end is."""
    result = run.result or {}
    waiting = result.get("waiting")
    summary = summarize_organization(
        run,
        ended_in(result),
        facts,
        seconds=float(result.get("seconds", 0.0)),
        waiting=None if waiting is None else WaitingLists(**waiting),
        probes=int(result.get("probes", 0)),
    )
    outcome, reason = summary.outcome, ""
    if run.state in ("running", "awaiting"):
        outcome = "already_running" if joined else "spreading"
    elif run.state == "cancelled":
        outcome, reason = "cancelled", "cancelled; started again it continues"
    elif run.state == "failed":
        outcome, reason = "failed", "" if summary.of("failed") else run.error or "it failed"
    elif joined and outcome == "completed":
        outcome = "already_completed"
    return summary.model_copy(update={"outcome": outcome, "reason": reason})


async def read_organization(
    connection: AsyncConnection, run: LedgerRun, *, joined: bool = False
) -> OrganizationSummary:
    """The same, read from the ledger."""
    facts = await epoch_facts(connection, org_id=run.org_id, epoch=run.epoch)
    known = ended_in(run.result)
    return organization_of(run, facts_of(known, facts) if known else facts, joined=joined)


def facts_of(ended: Mapping[str, EntityEnd], facts: Sequence[RunFacts]) -> list[RunFacts]:
    """Of an epoch's facts those of what a church's run has read, and of what came with it."""
    catalog = load_catalog()
    came_with = {one.entity for name in ended for one in catalog.sideloads.get(name, ())}
    return [one for one in facts if one.entity in ended or one.entity in came_with]


def organization_state(summary: OrganizationSummary, message: str) -> State[OrganizationSummary]:
    """The state of a church's flow run that ends with this summary."""
    if summary.outcome == "failed":
        return Failed(message=message, data=summary)
    return Completed(name=summary.state_name, message=message, data=summary)


def _worst(outcomes: set[Outcome]) -> Outcome:
    if "failed" in outcomes:
        return "failed"
    if outcomes & {"incomplete", "unreadable", "cancelled"}:
        return "incomplete"
    return "spreading" if "spreading" in outcomes else "completed"


def _end_of_list(entity: str, ended: Mapping[str, EntityEnd]) -> EntityEnd | None:
    """How the list ended with which an entity is read."""
    described = load_catalog().by_name.get(entity)
    return None if described is None or described.sideload is None else ended.get(described.sideload.owner)


def _summarize(entity: str, ended: EntityEnd | None, facts: RunFacts | None) -> EntitySummary:
    if facts is None:
        assert ended is not None, "an entity has an end or a run"
        return EntitySummary(entity=entity, outcome=ended.outcome, reason=ended.reason)
    end, deletions = end_of(facts), deletions_of(facts)
    outcome, reason = end.outcome, end.reason
    if facts.state in ("failed", "running") and ended is not None and ended.outcome in ("unreadable", "failed"):
        outcome, reason = ended.outcome, ended.reason
        if outcome == "unreadable" and facts.pages:
            reason = f"refused after {counted(facts.pages, 'page')}: {reason}"
    return EntitySummary(
        entity=entity,
        outcome=outcome,
        lists=facts.lists,
        pages=facts.pages,
        rows=facts.rows,
        new=facts.new,
        changed=facts.changed,
        unchanged=facts.unchanged,
        missing=deletions.missing,
        deleted=deletions.deleted,
        quarantined=facts.quarantined,
        requests=facts.sent,
        reason=reason,
    )


def organization_artifact(summary: OrganizationSummary) -> tuple[str, list[dict[str, str]], str]:
    """The table artifact, a row for each entity: its key, its rows, and what it says."""
    key = artifact_key("organization", summary.org_id, summary.mode)
    table = [{name: str(value) for name, value in one.model_dump().items()} for one in summary.entities]
    return key, table or [{"entity": "none"}], f"{summary.org_id}, epoch {summary.epoch}: {summary.told}"


async def publish_organization(summary: OrganizationSummary) -> None:
    """The table artifact: a row for each entity."""
    key, table, told = organization_artifact(summary)
    with unless_refused("the table of the church"):
        await acreate_table_artifact(table, key=key, description=told)
