"""What a replay of the quarantine did, in numbers: its return value, and its table in the UI."""

import httpx
from prefect.artifacts import acreate_table_artifact
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import BaseModel, ConfigDict

from tasks.logs import sync_logger
from tasks.progress import artifact_key


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


async def publish_replay(summary: ReplaySummary) -> None:
    """The table artifact."""
    told = summary.model_dump(exclude={"org_id", "entity"})
    table = [{"what": name.replace("_", " "), "value": str(value)} for name, value in told.items()]
    entity = summary.entity or "everything"
    key = artifact_key("replay", summary.org_id, entity)
    try:
        await acreate_table_artifact(table, key=key, description=f"quarantine of {summary.org_id}: {entity}")
    except (httpx.HTTPError, PrefectHTTPStatusError, RuntimeError) as error:
        sync_logger().warning("the table of the replay was not written (%s)", type(error).__name__)
