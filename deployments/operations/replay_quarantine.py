"""`replay-quarantine`: try again what could not be stored."""

from rich.console import Console

from deployments.ended import end_with
from deployments.provisioning.names import REPLAY_QUARANTINE
from deployments.watching.announced import Failure, announce, failure_of
from deployments.watching.flow_runs import end_of_flow_run
from tasks.credentials import connection_for_org
from tasks.deployment_runs import start_deployment
from tasks.reports.replay_summary import read_replay
from tasks.settings import read_settings


async def replay_quarantine(org_id: str, entity: str | None, console: Console, *, no_watch: bool, as_json: bool) -> int:
    """Start the replay, wait for its end, report. Raises `UnknownOrganizationError`, `NotDeployedError`."""
    await connection_for_org(org_id, read_settings())
    run = await start_deployment(REPLAY_QUARANTINE, {"org_id": org_id, "entity": entity})
    announced = announce(run, console)
    if no_watch:
        return end_with(announced, "", console, as_json=as_json)
    ended = await end_of_flow_run(run, console)
    if ended.state is None or not ended.state.is_completed():
        failure = failure_of(ended)
        return end_with(failure, failure.reason, console, as_json=as_json)
    summary = await read_replay(run.id)
    if summary is None:  # its table was not written; the state says the same, without the numbers
        outcome = "completed" if ended.state.name == "Completed" else "incomplete"
        without = Failure(outcome=outcome, reason=ended.state.message or "", flow_run=run.name)
        return end_with(without, without.reason, console, as_json=as_json)
    result = {"outcome": summary.outcome, **summary.model_dump(mode="json")}
    return end_with(result, summary.told, console, as_json=as_json)
