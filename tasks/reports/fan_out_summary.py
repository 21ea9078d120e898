"""What a fan-out did so far, in numbers: its return value, its table in the UI, and what the terminal prints."""

from prefect.artifacts import acreate_link_artifact, acreate_table_artifact
from prefect.settings import get_current_settings
from pydantic import BaseModel, ConfigDict

from pco_store.ledger.run_facts import RunFacts
from tasks.fan_out.flow_runs import fan_out_tag
from tasks.reports.artifacts import artifact_key, as_table, unless_refused
from tasks.reports.counted import counted
from tasks.reports.outcomes import End, Summarized, deletions_of, end_of, summarized_as


class FanOutSummary(BaseModel):
    """The numbers of one epoch of a fan-out. `done` are read, absent or forbidden; `under_way` submitted or running.

    `absent`: the parent is gone. `dead`: out of attempts, to be replayed. `missing` records were listed below no parent
    any more; of these, the `deleted` have a tombstone now. `unplaced` ones are in the mirror and in none of the lists,
    and nobody knows below which parent they were: they stay.
    `quarantined`: records and places that the fan-out and its children have quarantined and nothing has resolved.
    `lists` and `rows` are those of the entity itself. `reason` says what is left for a person, or why it failed.
    """

    model_config = ConfigDict(frozen=True)

    outcome: Summarized
    key: str
    org_id: str
    entity: str
    epoch: str
    reason: str = ""
    children: int
    done: int
    pending: int
    under_way: int
    absent: int
    forbidden: int
    cancelled: int
    dead: int
    lists: int = 0
    rows: int = 0
    missing: int = 0
    deleted: int = 0
    unplaced: int = 0
    quarantined: int = 0
    submitted_here: int = 0
    seconds: float = 0.0

    @property
    def told(self) -> str:
        """In a line: the counts, and what is left."""
        counts = (
            f"{counted(self.children, 'child')}: {self.done} done, {self.under_way} under way, {self.pending} pending, "
            f"{self.dead} dead, {counted(self.quarantined, 'record')} in quarantine"
        )
        if self.unplaced:
            counts += f", {self.unplaced} in the mirror and in no list"
        return f"{counts}; {self.reason}" if self.reason else counts


def summarize_fan_out(
    facts: RunFacts, *, joined: bool = False, submitted_here: int = 0, seconds: float = 0.0
) -> tuple[FanOutSummary, End]:
    """A fan-out as it is now, and its end; for one that was `joined` the summary says so if nothing else is to say."""
    end, deletions = end_of(facts), deletions_of(facts)
    summary = FanOutSummary(
        outcome=summarized_as(end, joined=joined),
        key=facts.key,
        org_id=facts.org_id,
        entity=facts.entity,
        epoch=facts.epoch,
        reason=end.reason,
        children=facts.children,
        done=facts.done,
        pending=facts.pending,
        under_way=facts.submitted + facts.running,
        absent=facts.absent,
        forbidden=facts.forbidden,
        cancelled=facts.cancelled,
        dead=facts.dead,
        lists=facts.lists,
        rows=facts.rows,
        missing=deletions.missing,
        deleted=deletions.deleted,
        unplaced=deletions.unplaced,
        quarantined=facts.quarantined,
        submitted_here=submitted_here,
        seconds=round(seconds, 3),
    )
    return summary, end


def fan_out_artifact(summary: FanOutSummary) -> tuple[str, list[dict[str, str]], str]:
    """The table artifact: its key, its rows, and what it says."""
    key = artifact_key("fan-out", summary.org_id, summary.entity)
    return key, as_table(summary.model_dump()), f"{summary.entity} of {summary.org_id}: {summary.told}"


async def publish_fan_out(summary: FanOutSummary, root_id: int) -> None:
    """The table artifact, and a link to the flow runs of all children."""
    key, table, told = fan_out_artifact(summary)
    ui = get_current_settings().ui_url
    with unless_refused("the table of the fan-out"):
        await acreate_table_artifact(table, key=key, description=told)
        if ui:
            await acreate_link_artifact(
                f"{ui}/runs?tags={fan_out_tag(root_id)}",
                link_text="the flow runs of the children",
                key=artifact_key("children", summary.org_id, summary.entity),
                description=f"{summary.entity} of {summary.org_id}, a child per parent",
            )
