"""replay_quarantine: try again what could not be stored, with today's code, and with what PCO says now."""

from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed

from flows.call_from_anywhere import flow_from_anywhere
from flows.parameters import MirroredEntityName, OrgId
from pco_store.schema_check import check_schema
from tasks.lifespan import opened_resources
from tasks.patience import patiently
from tasks.quarantine_replay import replay_items
from tasks.reports.replay_summary import ReplaySummary, publish_replay
from tasks.run_names import own_run_name
from tasks.settings import read_settings


@flow_from_anywhere(
    name="replay-quarantine",
    flow_run_name=own_run_name,
    description="Try again what could not be stored: with today's code, and with what Planning Center says now.",
    validate_parameters=True,
)
async def replay_quarantine(org_id: OrgId, entity: MirroredEntityName | None = None) -> State[ReplaySummary]:
    """Store what fits by now of a church's quarantine, and resolve it; safe to repeat and to interrupt.

    A record that still does not fit is asked for by its id, where PCO lists its kind at top level. What stays open
    makes the run end as `CompletedWithQuarantine`.

    Args:
        org_id: Which church: the name of its credentials block, such as grace
        entity: Only this kind of record. Leave it out: all of them

    Raises the errors of settings, credentials, client and store.
    """
    async with opened_resources(read_settings()) as resources:
        await patiently(resources, check_schema)
        summary = await replay_items(resources, org_id, entity)
    await publish_replay(summary)
    get_run_logger().info("quarantine of %s: %s", org_id, summary.told)
    return Completed(name=summary.state_name, message=summary.told, data=summary)
