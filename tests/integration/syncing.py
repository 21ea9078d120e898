"""A sync of the simulator's people, for tests that need its steps and no Prefect."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from typing import Any

import httpx
from sqlalchemy import text

from pco_client import PcoClient, PersonalAccessToken, ProcessGovernor
from pco_store.database import Database
from pco_store.ledger.leases import open_run
from pco_store.ledger.openings import Opened
from pco_walks.part_walks import PartWalks
from pco_walks.parts import Part
from pco_walks.window import Window, choose_window
from tasks.pages.apply_page import apply_page
from tasks.pages.collection import read_collection
from tasks.pages.page_ref import PageRef
from tasks.pages.processing import PageProcessing
from tasks.pages.sync_context import SyncContext
from tasks.patient_client import PatientClient
from tests.integration.mirror import PEOPLE, PERSON
from tests.integration.requests import run_request
from tests.plain_http import NOBODY
from tests.simulators import SimulatorProcess


@asynccontextmanager
async def people_sync(
    store: Database, simulator: SimulatorProcess, *, epoch: str | None = None, window: Window | None = None
) -> AsyncIterator[SyncContext]:
    """A sync that has just been opened."""
    async with store.transaction() as connection:
        now = (await connection.execute(text("SELECT now()"))).scalar_one()
    async with httpx.AsyncClient(verify=NOBODY, timeout=30, trust_env=False) as http:
        client = PcoClient(
            http,
            credential=PersonalAccessToken(simulator.app_id, simulator.secret),
            governor=ProcessGovernor(),
            base_url=simulator.base_url,
            user_agent="pco-sync tests",
        )
        opened, lease = await open_run(store, run_request(epoch=epoch))
        assert isinstance(opened, Opened)
        assert lease is not None
        assert PERSON.list_path is not None
        yield SyncContext(
            run=opened.run,
            entity=PERSON,
            path=PERSON.list_path,
            table=PEOPLE,
            windows={0: window or choose_window(PERSON, mode="full", until=now, watermark=None)},
            client=client,
            patient=PatientClient(client=client, delays=(), lane="grace:people.Person"),
            database=store,
            large_pages=asyncio.Semaphore(1),
            in_flight=4,
        )
        await lease.release()


def page_of(sync: SyncContext, *, offset: int = 0, size: int = 100) -> PageRef:
    """One of its pages."""
    run = sync.run
    return PageRef(
        org_id=run.org_id,
        entity=run.entity,
        scope=run.scope,
        epoch=run.epoch,
        token=run.token,
        offset=offset,
        size=size,
        reading=1,
    )


async def read_all(sync: SyncContext, *, page_size: int) -> None:
    """Walk the whole collection, each page tried once."""

    async def once(page: PageRef) -> dict[str, Any]:
        return asdict(await apply_page(sync, page, attempt=1))

    walks = PartWalks([Part(number=0, window=sync.windows[0])], page_size=page_size)
    sync = replace(sync, run=replace(sync.run, page_size=page_size))
    await read_collection(walks, sync, processing=PageProcessing(whole=once, part=once))
