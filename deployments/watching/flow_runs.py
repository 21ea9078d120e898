"""Wait for a flow run of which only the end is of interest."""

import asyncio
import time
from typing import Final
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from rich.console import Console

LOOK_SECONDS: Final = 0.5
PATIENCE_FOR_A_WORKER: Final = 30.0
"""Seconds after which we ask whether there is a worker at all."""


async def end_of_flow_run(flow_run_id: UUID, console: Console) -> FlowRun:
    """The flow run when it is over."""
    begun, asked = time.monotonic(), False
    async with get_client() as client:
        while True:
            run = await client.read_flow_run(flow_run_id)
            if run.state is not None and run.state.is_final():
                return run
            is_waiting = run.state is None or run.state.is_scheduled() or run.state.is_pending()
            if is_waiting and not asked and time.monotonic() - begun > PATIENCE_FOR_A_WORKER:
                asked = True
                console.print("it waits for a worker; is one running? `make worker` starts one")
            await asyncio.sleep(LOOK_SECONDS)
