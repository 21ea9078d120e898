"""Says in the ledger, for all flow runs of a process together, that they are alive: so that the dead can be told.

Prefect's heartbeats are events that its server forgets when it is away, and there are none before the first. What is
over within a second costs no statement here, and all others together one every 15 seconds.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final

from pco_store.database import Database
from pco_store.errors import StoreError
from pco_store.ledger.flow_runs import show_life
from tasks.background import interrupt
from tasks.flow_run import current_flow_run, owner
from tasks.logs import sync_logger

ALIVE_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 1.0
ROUNDS: Final = 15
"""Looks for new flow runs between two signs of all."""
PATIENCE_SECONDS: Final = 5.0


class SignsOfLife:
    """Those of one event loop and one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._alive: Counter[str] = Counter()
        self._shown: set[str] = set()
        self._keeper: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """The flow run that we are in shows that it lives, while the block runs."""
        run = current_flow_run()
        if run is None:
            yield
            return
        identity = str(run.id)
        self._alive[identity] += 1
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="signs of life")
        if run.deployment_id is None and run.parent_task_run_id is None:
            await self._show([identity])  # of a script nobody else would know
        try:
            yield
        finally:
            self._alive[identity] -= 1
            if not self._alive[identity]:
                del self._alive[identity]
                self._shown.discard(identity)

    async def aclose(self) -> None:
        """No more signs."""
        if self._keeper is not None:
            await interrupt(self._keeper)

    async def _keep(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            rounds += 1
            due = set(self._alive) if rounds % ROUNDS == 0 else self._alive.keys() - self._shown
            if due:
                await self._show(due)

    async def _show(self, flow_run_ids: Collection[str]) -> None:
        """Best effort: what is not shown now is shown a second later."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._database.transaction() as connection:
                await show_life(connection, flow_run_ids, owner=owner(), alive_seconds=ALIVE_SECONDS)
        except (StoreError, TimeoutError) as error:
            sync_logger().debug("no sign of life of %d flow runs: %s", len(flow_run_ids), error)
        else:
            self._shown.update(flow_run_ids)
