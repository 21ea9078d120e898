"""Marks flow runs as crashed whose process is dead, whether somebody continues their work or not."""

from typing import Final

from pco_store.ledger.flow_runs import forget_flow_runs, silent_flow_runs
from tasks.lifespan import Resources
from tasks.recovery.looking import look_at_flow_runs
from tasks.stopping import mark_crashed

PER_SWEEP: Final = 100


async def mark_silent_flow_runs(resources: Resources) -> int:
    """How many. Raises `StoreUnavailable` and httpx's errors."""
    async with resources.database.transaction() as connection:
        silent = await silent_flow_runs(connection, most=PER_SWEEP)
    if not silent:
        return 0
    looks = await look_at_flow_runs(silent, silence=0)
    dead = [one for one, look in looks.items() if look.doing == "silent"]
    marked = await mark_crashed(dead, "its process fell silent")
    over = [one for one, look in looks.items() if look.doing not in ("silent", "working")]
    async with resources.database.transaction() as connection:
        await forget_flow_runs(connection, [*marked, *over])
    return len(marked)
