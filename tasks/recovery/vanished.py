"""Children whose flow run ended or vanished before it began them, or was taken by a worker that has died.

If a person cancelled it, they are cancelled, too.
"""

from typing import Final

from pco_store.ledger.fan_out.submissions import cancel_submitted, take_back_submitted, waiting_flow_runs
from pco_store.ledger.runs import RunHandle
from tasks.lifespan import Resources
from tasks.recovery.looking import look_at_flow_runs
from tasks.stopping import mark_crashed

MOST_RESTARTS: Final = 10
"""So many flow runs in a row that end before they begin a child; then it is dead."""
FIRST_WAIT_SECONDS: Final = 10.0


async def take_back_vanished(resources: Resources, root: RunHandle) -> int:
    """Let others run them; how many flow runs that were of. Raises `StoreUnavailable` and httpx's errors."""
    silence = resources.settings.start_seconds
    async with resources.database.transaction() as connection:
        waiting = await waiting_flow_runs(
            connection, root.run_id, older_than_seconds=min(silence, resources.settings.lease_seconds)
        )
    if not waiting:
        return 0
    looks = await look_at_flow_runs([one.flow_run_id for one in waiting], silence=silence)
    gone = {one: look for one, look in looks.items() if not look.goes_on}
    cancelled = [one for one, look in gone.items() if look.doing == "cancelled" or look.is_cancelling]
    async with resources.database.transaction() as connection:
        await cancel_submitted(connection, root.run_id, cancelled)
        taken = await take_back_submitted(
            connection,
            root.run_id,
            {one: look.said for one, look in gone.items()},
            most_restarts=MOST_RESTARTS,
            first_wait_seconds=FIRST_WAIT_SECONDS,
        )
    # After the ledger: a flow run that has begun its children meanwhile keeps them, and stays what it is.
    silent = sorted(one for one in {*taken, *cancelled} if gone[one].doing == "silent")
    await mark_crashed(silent, "its worker fell silent before it began its work", unless_begun_within=silence)
    return len(taken)
