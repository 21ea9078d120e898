"""replay_children: give the dead and cancelled children of a fan-out all their attempts again."""

from flows.call_from_anywhere import flow_from_anywhere
from flows.parameters import ChildEntityName, Epoch, OrgId
from pco_store.children import revive_children
from pco_store.fan_outs import find_fan_out
from pco_store.openings import FAN_OUT_SCOPE, sync_key
from tasks.lifespan import opened_resources
from tasks.settings import read_settings
from tasks.submitting import top_up


class UnknownFanOutError(Exception):
    """The ledger has no such fan-out; the message names the key that was looked for."""


@flow_from_anywhere(
    name="replay-children",
    flow_run_name="replay {entity} org={org_id} epoch={epoch}",
    description="Run the dead and cancelled children of a fan-out again.",
    validate_parameters=True,
)
async def replay_children(org_id: OrgId, entity: ChildEntityName, epoch: Epoch) -> int:
    """How many children were revived; the first of them are submitted at once. Raises `UnknownFanOutError`."""
    async with opened_resources(read_settings()) as resources:
        key = sync_key(org_id, entity, epoch, FAN_OUT_SCOPE)
        async with resources.database.transaction() as connection:
            root = await find_fan_out(connection, key)
            if root is None:
                raise UnknownFanOutError(f"the ledger has no fan-out {key}")
            revived = await revive_children(connection, root.run_id)
        await top_up(resources, root)
        return revived
