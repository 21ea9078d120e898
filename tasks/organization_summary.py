"""What the sync of a whole church did, entity by entity: its return value, and its table in the UI."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import httpx
from prefect.artifacts import acreate_table_artifact
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import BaseModel, ConfigDict

from pco_store.epoch_totals import EntityTotals
from tasks.logs import sync_logger
from tasks.progress import artifact_key

Outcome = Literal["completed", "incomplete", "spreading", "unreadable", "failed"]
"""incomplete: done, but something is left for a person: quarantine, dead children, many missing records.
unreadable: PCO does not show it to this credential. spreading: its children go on by themselves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How one entity ended, and why if not well."""

    outcome: Outcome
    reason: str = ""
    deleted: int = 0


class EntitySummary(BaseModel):
    """One entity's numbers. `lists` were read: one at top level, or one below each parent."""

    model_config = ConfigDict(frozen=True)

    entity: str
    outcome: Outcome
    lists: int = 0
    pages: int = 0
    rows: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0
    quarantined: int = 0
    requests: int = 0
    reason: str = ""


class OrganizationSummary(BaseModel):
    """The numbers of one epoch of a church. `requests` are those that brought pages."""

    model_config = ConfigDict(frozen=True)

    outcome: Literal["completed", "failed", "already_running", "already_completed"]
    key: str
    org_id: str
    epoch: str
    mode: str
    entities: tuple[EntitySummary, ...] = ()
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        """Requests of all entities."""
        return sum(one.requests for one in self.entities)

    def of(self, outcome: Outcome) -> list[EntitySummary]:
        """The entities that ended so."""
        return [one for one in self.entities if one.outcome == outcome]

    def told(self) -> str:
        """The whole in one line."""
        counts = [f"{len(self.of(one))} {one}" for one in ("completed", "incomplete", "spreading") if self.of(one)]
        counts += [f"{len(self.of(one))} {one}" for one in ("unreadable", "failed") if self.of(one)]
        rows = sum(one.rows for one in self.entities)
        return f"{', '.join(counts) or 'nothing to do'}; {rows} rows in {self.requests} requests"


def summarize_entities(ended: Mapping[str, Ended], totals: Sequence[EntityTotals]) -> tuple[EntitySummary, ...]:
    """How each entity ended, with the ledger's numbers of the epoch."""
    numbers = {one.entity: one for one in totals}
    summaries = []
    for entity, end in sorted(ended.items()):
        known = numbers.get(entity)
        counted = (
            {}
            if known is None
            else {
                name: getattr(known, name)
                for name in ("lists", "pages", "rows", "new", "changed", "unchanged", "quarantined", "requests")
            }
        )
        summaries.append(
            EntitySummary(entity=entity, outcome=end.outcome, reason=end.reason, deleted=end.deleted, **counted)
        )
    return tuple(summaries)


async def publish_organization(summary: OrganizationSummary) -> None:
    """The table artifact: a row for each entity."""
    table = [{name: str(value) for name, value in one.model_dump().items()} for one in summary.entities]
    try:
        await acreate_table_artifact(
            table or [{"entity": "none"}],
            key=artifact_key("organization", summary.org_id, summary.mode),
            description=f"{summary.org_id}, epoch {summary.epoch}: {summary.told()}",
        )
    except (httpx.HTTPError, PrefectHTTPStatusError, RuntimeError) as error:
        sync_logger().warning("the table of the church was not written (%s)", type(error).__name__)
