"""What a fan-out did so far, in numbers: its return value, and its table in the UI."""

from typing import Literal

import httpx
from prefect.artifacts import acreate_link_artifact, acreate_table_artifact
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings
from pydantic import BaseModel, ConfigDict

from pco_store.fan_outs import FanOutCounts
from tasks.child_flow_runs import fan_out_tag
from tasks.deletions import Deletions
from tasks.logs import sync_logger
from tasks.progress import artifact_key


class FanOutSummary(BaseModel):
    """The numbers of one epoch of a fan-out. `done` are read, absent or forbidden; `under_way` submitted or running.

    `absent`: the parent is gone. `dead`: out of attempts, to be replayed. `missing` records were listed below no parent
    any more; of these, the `deleted` have a tombstone now.
    `quarantined`: records and places that the fan-out and its children have put aside and nothing has settled.
    """

    model_config = ConfigDict(frozen=True)

    outcome: Literal["completed", "spreading", "already_running", "already_completed", "cancelled"]
    key: str
    org_id: str
    entity: str
    epoch: str
    children: int
    done: int
    pending: int
    under_way: int
    absent: int
    forbidden: int
    cancelled: int
    dead: int
    missing: int = 0
    deleted: int = 0
    quarantined: int = 0
    submitted_here: int = 0
    seconds: float = 0.0


def summarize_fan_out(
    counts: FanOutCounts,
    deletions: Deletions | None,
    *,
    outcome: Literal["completed", "spreading", "already_running", "already_completed", "cancelled"],
    key: str,
    org_id: str,
    entity: str,
    epoch: str,
    submitted_here: int = 0,
    seconds: float = 0.0,
) -> FanOutSummary:
    """The summary of a fan-out as it is now."""
    return FanOutSummary(
        outcome=outcome,
        key=key,
        org_id=org_id,
        entity=entity,
        epoch=epoch,
        children=counts.children,
        done=counts.completed + counts.absent + counts.forbidden,
        pending=counts.pending,
        under_way=counts.submitted + counts.running,
        absent=counts.absent,
        forbidden=counts.forbidden,
        cancelled=counts.cancelled,
        dead=counts.dead,
        missing=deletions.missing if deletions else 0,
        deleted=deletions.deleted if deletions else 0,
        quarantined=counts.quarantined,
        submitted_here=submitted_here,
        seconds=round(seconds, 3),
    )


async def publish_fan_out(summary: FanOutSummary, root_id: int) -> None:
    """The table artifact, and a link to the flow runs of all children."""
    table = [{"what": name.replace("_", " "), "value": str(value)} for name, value in summary.model_dump().items()]
    told = f"{summary.entity} of {summary.org_id}, a child per parent"
    ui = get_current_settings().ui_url
    try:
        key = artifact_key("fan-out", summary.org_id, summary.entity)
        await acreate_table_artifact(table, key=key, description=told)
        if ui:
            await acreate_link_artifact(
                f"{ui}/runs?tags={fan_out_tag(root_id)}",
                link_text="the flow runs of the children",
                key=artifact_key("children", summary.org_id, summary.entity),
                description=told,
            )
    except (httpx.HTTPError, PrefectHTTPStatusError, RuntimeError) as error:
        sync_logger().warning("the table of the fan-out was not written (%s)", type(error).__name__)
