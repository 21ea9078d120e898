"""remove_old: remove from the ledger what is over and older than its lifetime; scheduled, harmless by hand."""

from flows.call_from_anywhere import flow_from_anywhere
from pco_store.schema_check import check_schema
from tasks.lifespan import opened_resources
from tasks.patience import patiently
from tasks.recovery.missed_runs import drop_missed_runs
from tasks.run_names import own_run_name
from tasks.runs.removing import Removal, remove_old_rows
from tasks.settings import read_settings


@flow_from_anywhere(
    name="remove-old",
    flow_run_name=own_run_name,
    description="Remove from the ledger what is over and older than its lifetime. The mirror is not touched.",
)
async def remove_old() -> Removal:
    """Remove turns, proofs and resolved quarantine that nobody reads any more; in small transactions.

    Safe to interrupt, to repeat, and while syncs run. Raises the errors of settings and store.
    """
    await drop_missed_runs()
    async with opened_resources(read_settings()) as resources:
        await patiently(resources, check_schema)
        return await remove_old_rows(resources)
