"""sync_organizations: start the sync of every connected church: what the schedules of prefect.yaml run."""

import httpx
from prefect.exceptions import PrefectHTTPStatusError
from prefect.logging import get_run_logger

from flows.call_from_anywhere import flow_from_anywhere
from flows.parameters import NIGHTLY_REQUESTS, Budget, Patterns
from pco_store.churches.wall import removed_churches
from pco_walks.ways import OrganizationMode
from tasks.connections.looking_after import look_after_connections
from tasks.credentials import scheduled_organizations
from tasks.deployment_runs import start_organization
from tasks.lifespan import opened_resources
from tasks.patience import patiently
from tasks.recovery.missed_runs import drop_missed_runs
from tasks.run_names import own_run_name
from tasks.runs.opening import checked_schema, reason_of
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

    Raises `NotDeployedError`, the errors of settings and store, and `NotStartedError` at the end.
    """
    settings = read_settings()
    await drop_missed_runs()
    started, refused = [], {}
    async with opened_resources(settings) as resources:
        await checked_schema(resources)
        dead = await look_after_connections(resources)
        removed = await patiently(resources, removed_churches)
    for org_id, is_by_oauth in (await scheduled_organizations(settings)).items():
        if org_id in removed:
            get_run_logger().warning("%s is skipped: it is being removed, or was", org_id)
            continue
        if is_by_oauth and org_id in dead:
            get_run_logger().warning("%s is skipped, it has to be connected again: %s", org_id, dead[org_id])
            continue
        try:
            run = await start_organization(
                org_id,
                deployment=settings.organization_deployment,
                mode=mode,
                include=list(include),
                exclude=list(exclude),
                budget=budget,
            )
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:  # one church's trouble is not another's
            refused[org_id] = reason_of(error)
            get_run_logger().error("%s was not started: %s", org_id, refused[org_id])
        else:
            get_run_logger().info("%s: flow run %s", org_id, run.flow_run.name)
            started.append(org_id)
    if refused:
        told = "; ".join(f"{org_id}: {reason}" for org_id, reason in sorted(refused.items()))
        raise NotStartedError(f"{len(started)} churches were started, {len(refused)} were not: {told}")
    return started
