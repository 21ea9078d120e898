"""What a replay of the quarantine did, in numbers: its return value, and its table in the UI."""

import json
from uuid import UUID

from prefect.artifacts import acreate_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from pydantic import BaseModel, ConfigDict

from tasks.reports.artifacts import artifact_key, as_table, unless_refused
from tasks.reports.outcomes import QUARANTINE, Outcome


class ReplaySummary(BaseModel):
    """`looked_at` = `stored` + `already_newer` + `still_open` + `places`.

    `already_newer`: the mirror has the record, at least as new. `places` could not be served by PCO and have no id to
    be asked for; they stay open, too. `requests` were sent for records that still did not fit.
    """

    model_config = ConfigDict(frozen=True)

    org_id: str
    entity: str | None
    looked_at: int = 0
    stored: int = 0
    already_newer: int = 0
    still_open: int = 0
    places: int = 0
    requests: int = 0

    def plus(self, **numbers: int) -> "ReplaySummary":
        """The summary with a batch added."""
        return self.model_copy(update={name: getattr(self, name) + number for name, number in numbers.items()})

    @property
    def told(self) -> str:
        """In a line."""
        hint = "; the next full sync reads the places again" if self.places else ""
        return (
            f"{self.looked_at} looked at: {self.stored} stored, {self.already_newer} already newer in the mirror, "
            f"{self.still_open} still open, {self.places} places{hint}"
        )

    @property
    def outcome(self) -> Outcome:
        """Incomplete as long as anything stays open."""
        return "incomplete" if self.still_open or self.places else "completed"

    @property
    def state_name(self) -> str | None:
        """The name of the Completed state, where something stays open."""
        return QUARANTINE if self.outcome == "incomplete" else None


async def read_replay(flow_run_id: UUID) -> ReplaySummary | None:
    """The summary of a replay's flow run, by the table that it has written; None if it could not."""
    this = ArtifactFilterFlowRunId(any_=[flow_run_id])
    async with get_client() as client:
        found = await client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=this))
        run = await client.read_flow_run(flow_run_id)
    table = next((one for one in found if one.type == "table"), None)
    if table is None:
        return None
    numbers = {row["what"].replace(" ", "_"): int(row["value"]) for row in json.loads(str(table.data))}
    return ReplaySummary(org_id=run.parameters["org_id"], entity=run.parameters.get("entity"), **numbers)


async def publish_replay(summary: ReplaySummary) -> None:
    """The table artifact."""
    table = as_table(summary.model_dump(exclude={"org_id", "entity"}))
    entity = summary.entity or "everything"
    key = artifact_key("replay", summary.org_id, entity)
    with unless_refused("the table of the replay"):
        await acreate_table_artifact(table, key=key, description=f"quarantine of {summary.org_id}: {entity}")
