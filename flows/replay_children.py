"""replay_children: give the dead and cancelled children of a fan-out all their attempts again."""

from functools import partial

from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.call_from_anywhere import flow_from_anywhere
from flows.parameters import ChildEntityName, Epoch, OrgId
from pco_store.ledger.fan_out.children import revive_children
from pco_store.ledger.fan_out.fan_outs import find_fan_out, let_continue
from pco_store.ledger.openings import FAN_OUT_SCOPE, sync_key
from pco_store.ledger.results import note_unshown
from pco_store.ledger.runs import RunHandle
from tasks.deployment_runs import continue_fan_out
from tasks.fan_out.submitting import submit_more
from tasks.lifespan import opened_resources
from tasks.patience import patiently
from tasks.reports.children_replay import ChildrenReplay
from tasks.run_names import own_run_name
from tasks.settings import read_settings


class UnknownFanOutError(Exception):
    """The ledger has no such fan-out; the message names the key that was looked for."""


@flow_from_anywhere(
    name="replay-children",
    flow_run_name=own_run_name,
    description="Run the dead and cancelled children of a fan-out again, and continue one that was cancelled itself.",
    validate_parameters=True,
)
async def replay_children(org_id: OrgId, entity: ChildEntityName, epoch: Epoch) -> State[ChildrenReplay]:
    """How many children were revived, and whether the fan-out itself goes on again.

    Where all parents are read, the first children are submitted at once. A fan-out that was cancelled or has failed is
    continued by a run of its own, which reads the parents that are left. Raises `UnknownFanOutError`,
    `NotDeployedError`, and the errors of settings and store.
    """
    async with opened_resources(read_settings()) as resources:
        key = sync_key(org_id, entity, epoch, FAN_OUT_SCOPE)
        root, summary = await patiently(resources, partial(_revive, key=key))
        if summary.is_continued:
            await continue_fan_out(root, deployment=resources.settings.children_deployment)
        else:
            await submit_more(resources, root)
    get_run_logger().info("%s: %s", key, summary.told)
    return Completed(message=summary.told, data=summary)


async def _revive(connection: AsyncConnection, key: str) -> tuple[RunHandle, ChildrenReplay]:
    root = await find_fan_out(connection, key)
    if root is None:
        raise UnknownFanOutError(f"the ledger has no fan-out {key}")
    revived = await revive_children(connection, root.run_id)
    is_continued = await let_continue(connection, root.run_id)
    if revived or is_continued:
        await note_unshown(connection, root.run_id)
    return root, ChildrenReplay(key=key, revived=revived, is_continued=is_continued)
