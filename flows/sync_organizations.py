"""sync_organizations: start the sync of every connected church: what the schedules of prefect.yaml run."""

from datetime import UTC, datetime, timedelta

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.call_from_anywhere import flow_from_anywhere
from flows.parameters import NIGHTLY_REQUESTS, Budget, Patterns, SpreadSeconds
from pco_store.alone import alone
from pco_store.churches.wall import removed_churches
from pco_store.connections.connections import churches_to_connect_again
from pco_walks.ways import OrganizationMode
from tasks.churches.starting import start_churches
from tasks.connections.looking_after import look_after_connections
from tasks.credentials import scheduled_organizations
from tasks.lifespan import Resources, opened_resources
from tasks.patience import patiently
from tasks.recovery.missed_runs import drop_missed_runs
from tasks.run_names import own_run_name
from tasks.runs.opening import checked_schema
from tasks.settings import read_settings


class NotStartedError(Exception):
    """Prefect did not take the runs of some churches; the message names them and why. All others are started."""


@flow_from_anywhere(
    name="sync-organizations",
    flow_run_name=own_run_name,
    description="Start the sync of every connected church, each as a run of its own.",
    validate_parameters=True,
)
async def sync_organizations(
    mode: OrganizationMode = "delta",
    include: Patterns = (),
    exclude: Patterns = (),
    budget: Budget = NIGHTLY_REQUESTS,
    spread_seconds: SpreadSeconds = 0,
) -> list[str]:
    """The churches whose sync was started. One that still runs from the last time is joined, by its ledger.

    A church is left out if its credentials block says `scheduled: false`. One whose OAuth tokens are dead is skipped:
    the log says that it has to be connected again. So is one that is being removed.

    Args:
        mode: full reads everything, delta what changed where PCO can tell, rest what no delta can tell, and below
            parents what is due; lists reads every list at top level in full
        include: Patterns such as people.*, giving or *.Person; empty for everything
        exclude: The same, for what is left out
        budget: Requests of a night for each church, in the mode rest
        spread_seconds: Over so long the starts are spread; each church has its own time in it, always the same

    Raises `NotDeployedError`, the errors of settings and store, and `NotStartedError` at the end.
    """
    settings = read_settings()
    await drop_missed_runs()
    due = datetime.fromtimestamp(flow_run.scheduled_start_time.timestamp(), UTC)  # Prefect's own kind cannot be divided
    spread = timedelta(seconds=spread_seconds)
    plan = {"mode": mode, "include": list(include), "exclude": list(exclude), "budget": budget}
    async with opened_resources(settings) as resources:
        await checked_schema(resources)
        async with alone(resources.database, f"start churches: {plan}") as is_alone:
            if not is_alone:
                get_run_logger().info("another run is starting the churches now")
                return []
            chosen = await _chosen(resources)
            starts = await start_churches(
                chosen,
                deployment=settings.organization_deployment,
                due=due,
                spread=spread,
                now=datetime.now(UTC),
                plan=plan,
            )
        get_run_logger().info(
            "%d churches are started, %d still wait for their last start", len(starts.started), len(starts.waiting)
        )
        await look_after_connections(resources)  # last: a token endpoint that hangs delays no start
    if starts.refused:
        told = "; ".join(f"{org_id}: {reason}" for org_id, reason in sorted(starts.refused.items()))
        raise NotStartedError(f"{len(starts.started)} churches were started, {len(starts.refused)} were not: {told}")
    return starts.started


async def _chosen(resources: Resources) -> list[str]:
    dead = await patiently(resources, churches_to_connect_again)
    removed = await patiently(resources, removed_churches)
    chosen = []
    for org_id, is_by_oauth in (await scheduled_organizations(resources.settings)).items():
        if org_id in removed:
            get_run_logger().warning("%s is skipped: it is being removed, or was", org_id)
        elif is_by_oauth and org_id in dead:
            get_run_logger().warning("%s is skipped, it has to be connected again: %s", org_id, dead[org_id])
        else:
            chosen.append(org_id)
    return chosen
