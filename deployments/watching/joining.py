"""Which run of the ledger a flow run has worked on or joined; if another one works on it, its end is waited for."""

import asyncio
from collections.abc import Callable
from typing import Final

from prefect.client.schemas.objects import FlowRun
from rich.console import Console

from pco_store.database import Database
from pco_store.ledger.openings import sync_key
from pco_store.ledger.results import LedgerRun, find_by_flow_run, find_by_id, find_by_key, find_newest

LOOK_SECONDS: Final = 1.0


async def run_of(
    database: Database, flow_run: FlowRun, *, org_id: str, entity: str, mode: str, epoch: str | None
) -> LedgerRun | None:
    """The run of a list at top level, or of a church; None if the flow run ended without having taken or joined one."""
    state = flow_run.state
    async with database.transaction() as connection:
        own = await find_by_flow_run(connection, org_id=org_id, entity=entity, scope="", flow_run_id=str(flow_run.id))
        if own is not None or state is None or not (state.is_completed() or state.is_crashed()):
            return own
        if epoch is not None:
            found = await find_by_key(connection, sync_key(org_id, entity, epoch))
        else:
            found = await find_newest(connection, org_id=org_id, entity=entity, scope="", mode=mode)
    if state.is_crashed() and found is not None and found.state != "running":
        return None  # nobody has taken over what it did: this is an earlier turn
    return found


async def ended(
    database: Database, run: LedgerRun, console: Console, *, on_look: Callable[[], None] = lambda: None
) -> LedgerRun:
    """The run when nobody works on it any more; at once, unless another flow run has it."""
    if run.state == "running":
        console.print("another flow run does it, or continues it; this one is watched now", highlight=False)
    while run.state == "running":
        on_look()
        await asyncio.sleep(LOOK_SECONDS)
        async with database.transaction() as connection:
            now = await find_by_id(connection, run.run_id)
        assert now is not None, "no run is ever taken out of the ledger"
        run = now
    return run
