"""Large pages take turns from their body to their commit, so that a process never holds many of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Literal

import pytest
from sqlalchemy import text

from pco_client import client
from pco_client.errors import PcoError
from pco_store.database import Database
from tasks.pages.apply_page import apply_page
from tasks.pages.sync_context import SyncContext
from tests.integration.syncing import page_of, people_sync
from tests.simulators import SimulatorProcess


class Watched(asyncio.Semaphore):
    """A room for one, that looks at something whenever somebody comes in."""

    def __init__(self, look: Callable[[], Awaitable[int]]) -> None:
        super().__init__(1)
        self._look = look
        self.seen: list[int] = []

    async def acquire(self) -> Literal[True]:
        entered = await super().acquire()
        self.seen.append(await self._look())
        return entered


@pytest.fixture
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess(people=200) as running:
        yield running


@pytest.fixture
async def sync(
    store: Database, simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SyncContext]:
    """Of a list of two pages, both large, with a room that counts the pages committed so far."""
    monkeypatch.setattr(client, "LARGE_ANSWER", 1000)

    async def committed() -> int:
        async with store.transaction() as connection:
            return int((await connection.execute(text("SELECT count(*) FROM sync.pages"))).scalar_one())

    async with people_sync(store, simulator) as opened:
        yield replace(opened, large_pages=Watched(committed))


async def test_a_large_page_is_committed_before_the_next_one_is_read_on(sync: SyncContext) -> None:
    await asyncio.gather(
        apply_page(sync, page_of(sync), attempt=1), apply_page(sync, page_of(sync, offset=100), attempt=1)
    )
    assert isinstance(sync.large_pages, Watched)
    assert sync.large_pages.seen == [0, 1]


async def test_a_large_page_that_fails_makes_room(sync: SyncContext, simulator: SimulatorProcess) -> None:
    simulator.faults([{"kind": "half-body", "path": "/people/v2/people", "times": 1}])
    with pytest.raises(PcoError):
        await apply_page(sync, page_of(sync), attempt=1)
    assert not sync.large_pages.locked()
    await apply_page(sync, page_of(sync), attempt=2)
    assert not sync.large_pages.locked()
