"""recover_syncs: continue what nobody works on any more; scheduled, and harmless to run by hand."""

from flows.call_from_anywhere import flow_from_anywhere
from tasks.lifespan import opened_resources
from tasks.recovery.missed_runs import drop_missed_runs
from tasks.recovery.sweep import Recovered, recover
from tasks.run_names import own_run_name
from tasks.settings import read_settings


@flow_from_anywhere(
    name="recover-syncs",
    flow_run_name=own_run_name,
    description="Continue syncs, fan-outs and children whose process died, under their keys.",
)
async def recover_syncs() -> Recovered:
    """One sweep over the ledger: what is running by the ledger and held by nobody is started again.

    Raises `NotDeployedError`, and the errors of settings and store.
    """
    await drop_missed_runs()
    async with opened_resources(read_settings()) as resources:
        return await recover(resources)
