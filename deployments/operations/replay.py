"""`replay`: read the dead and cancelled children of a fan-out again."""

from rich.console import Console

from deployments.ended import end_with
from deployments.operations.fan_outs import known_fan_out
from deployments.operations.sync import report, watch_to_the_end
from deployments.provisioning.names import REPLAY_CHILDREN
from deployments.terminal import print_plain
from deployments.transaction import transaction
from deployments.watching.announced import announce, failure_of
from deployments.watching.flow_runs import end_of_flow_run
from pco_store.ledger.openings import FAN_OUT_SCOPE, sync_key
from tasks.deployment_runs import start_deployment


async def replay(org_id: str, entity: str, epoch: str, console: Console, *, no_watch: bool, as_json: bool) -> int:
    """Run the dead and cancelled children again, and watch.

    Raises `UnknownFanOutError`, `NotDeployedError`.
    """
    key = sync_key(org_id, entity, epoch, FAN_OUT_SCOPE)
    async with transaction() as connection:
        await known_fan_out(connection, key)
    run = await start_deployment(REPLAY_CHILDREN, {"org_id": org_id, "entity": entity, "epoch": epoch})
    announced = announce(run, console)
    if no_watch:
        return end_with(announced, "", console, as_json=as_json)
    ended = await end_of_flow_run(run, console)
    if ended.state is None or not ended.state.is_completed():
        failure = failure_of(ended)
        return end_with(failure, failure.reason, console, as_json=as_json)
    print_plain(console, ended.state.message or "")
    result = await watch_to_the_end(ended, org_id, entity, console, below=True, epoch=epoch)
    return await report(result, org_id, console, as_json=as_json)
