"""sync_child: mirror the lists below one parent, or below a handful of them: the child of a fan-out."""

import httpx
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Cancelled, Completed, Failed

from flows.call_from_anywhere import flow_from_anywhere
from flows.parameters import ChildEntityName, Epoch, OrgId, Scopes, child_entity
from pco_store.errors import StoreUnavailable
from pco_store.ledger.runs import RunHandle
from tasks.fan_out.children import ChildrenReport, ChildWork, run_children
from tasks.fan_out.claiming import claim
from tasks.fan_out.submitting import submit_more
from tasks.lifespan import Resources, get_client_for_org, opened_resources
from tasks.pages.processing import as_tasks, directly
from tasks.reports.counted import counted
from tasks.reports.drift import tell_drift
from tasks.reports.outcomes import DEAD, UNREADABLE
from tasks.run_names import own_run_name
from tasks.settings import read_settings


@flow_from_anywhere(
    name="sync-child",
    flow_run_name=own_run_name,
    description="Mirror what Planning Center lists below one parent (or a handful), exactly and durably.",
    validate_parameters=True,
)
async def sync_child(
    org_id: OrgId,
    entity: ChildEntityName,
    parents: Scopes,
    epoch: Epoch,
    fan_out: ChildEntityName | None = None,
) -> State[dict[str, int]]:
    """Mirror `entity` below each of `parents`, once per parent and epoch.

    `parents` are ids, or ids with those of their own parents before them (`12/345`). What is done already, or run by
    somebody else, is left alone. `fan_out` is what the fan-out is for, when the children are parents themselves.

    With one parent every page is a Prefect task; with several, the pages are the ledger's alone.

    Raises the errors of settings, credentials and store; what goes wrong with one parent is written to the ledger, and
    the flow run fails at the end and says how many.
    """
    settings = read_settings()
    async with opened_resources(settings) as resources:
        client = await get_client_for_org(org_id, resources, kept=True)
        final_entity = fan_out or entity
        root, claimed = await claim(resources, org_id, entity, parents, epoch, final_entity)
        work = ChildWork(
            resources=resources,
            client=client,
            root=root,
            processing=await as_tasks(resources) if len(parents) == 1 else directly(settings),
        )
        report = ChildrenReport()
        if claimed.runs:
            report = await run_children(work, claimed.runs, in_flight=settings.pages_in_flight)
        if root is not None:
            await _push_on(resources, root)
    _log(entity, report, claimed.others)
    tell_drift(report.drift, child_entity(entity))
    return _state(report, claimed.others)


async def _push_on(resources: Resources, root: RunHandle) -> None:
    """Children that ended make room for others. If that fails, ours are done all the same, and the recovery does it."""
    try:
        await submit_more(resources, root)
    except (StoreUnavailable, httpx.HTTPError) as error:
        get_run_logger().warning("%s is pushed on later: %s", root.key, error)


def _log(entity: str, report: ChildrenReport, others: dict[str, str]) -> None:
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.outcomes.items())) or "nothing to do"
    left = f", {len(others)} left to others or done already" if others else ""
    get_run_logger().info(
        "%s: %s%s; %d pages, %d rows, %d quarantined",
        entity,
        told,
        left,
        report.pages,
        report.rows,
        report.quarantined,
    )


def _state(report: ChildrenReport, others: dict[str, str]) -> State[dict[str, int]]:
    data = {**report.outcomes, "pages": report.pages, "rows": report.rows, "quarantined": report.quarantined}
    if report.failures:
        dead = report.outcomes["dead"]
        first = next(iter(report.errors.items()), ("", ""))
        message = (
            f"{report.failures} of {report.outcomes.total()} children failed, {dead} of them are dead, the others are "
            f"tried again; first: {first[0]}: {first[1]}"
        )
        return Failed(message=message[:2000], data=data)
    if report.outcomes["lost"]:
        return Cancelled(name="LeftToOthers", message="the fan-out was cancelled, or others took over", data=data)
    if not report.outcomes and "stopped" in others.values():
        return Cancelled(name="FanOutCancelled", message="not started: the fan-out is cancelled", data=data)
    if not report.outcomes:
        return _not_started(set(others.values()), data)
    told = f"{counted(report.outcomes.total(), 'child')}, {counted(report.rows, 'row')}"
    if refused := report.outcomes["forbidden"]:
        why = next(iter(report.errors.values()), "")
        message = f"{told}; Planning Center does not show {refused} of the lists to this credential ({why})"
        return Completed(name=UNREADABLE, message=message[:2000], data=data)
    return Completed(message=told, data=data)


def _not_started(states: set[str], data: dict[str, int]) -> State[dict[str, int]]:
    """Nothing was to be run; how the children had ended is said, the worst first."""
    message = "not started again: " + ", ".join(sorted(states))
    if "running" in states:
        return Completed(name="AlreadyRunning", message=message, data=data)
    if "dead" in states:
        return Completed(name=DEAD, message=f"{message}; `replay` reads them again", data=data)
    if states & {"cancelled", "closed"}:
        return Cancelled(message=message, data=data)
    return Completed(name=UNREADABLE if "forbidden" in states else "AlreadyCompleted", message=message, data=data)
