"""A church that changes while it is read, in one process: the real simulator, client, walks and store.

Only the socket between them is left out. Each history is a church of its own: some changes happen before the walk, some
between its requests, while several of them are in flight.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from hypothesis import HealthCheck
from hypothesis import strategies as st
from sqlalchemy import select

from pco_catalog.catalog import load_catalog
from pco_client import PcoClient, PersonalAccessToken, ProcessGovernor
from pco_simulator.app import build_app
from pco_simulator.contents.churn import Change
from pco_simulator.contents.world import World
from pco_simulator.settings import Settings
from pco_simulator.simulator import Simulator
from pco_store.database import Database
from pco_store.ledger.leases import open_run
from pco_store.ledger.members import members_of
from pco_store.ledger.openings import Opened, RunRequest
from pco_store.ledger.runs import RunWindow, finish_run
from pco_store.mirror.tables import mirror_table
from pco_walks.part_walks import PartWalks
from pco_walks.parts import Part
from pco_walks.window import Mode, Window, choose_window
from tasks.deletions.from_a_list import find_deletions
from tasks.deletions.with_owners import find_deletions_with_owners
from tasks.lifespan import Resources
from tasks.pages.apply_page import apply_page
from tasks.pages.collection import read_collection
from tasks.pages.page_ref import PageRef
from tasks.pages.processing import PageProcessing
from tasks.pages.run_walk import companion_of
from tasks.pages.sync_context import SyncContext, entered
from tasks.patient_client import PatientClient
from tasks.verification.includes import distrust_short_includes
from tests.plain_http import NOBODY

RECORDS = 23
PAGE = 4
_churches = (f"church{number}" for number in itertools.count(1))


@dataclass(frozen=True)
class Walked:
    """What is read, and how: the walk follows from what the catalogue allows, and from how long a part may be."""

    entity: str
    mode: Mode
    part_records: int = 25_000


ON_ONE_DATABASE = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)
"""`store` is one for all histories, each of which has a church of its own."""

CHANGES = st.tuples(
    st.sampled_from(["create", "edit", "delete", "merge"]),
    st.integers(0, 200),
    st.integers(1, 14),
)
"""Operation, place, request. PCO documents no way to bring a record back, so none comes back into a list."""


@dataclass(frozen=True)
class Church:
    """One history: a church in a simulator of its own, and where it is mirrored."""

    org_id: str
    walked: Walked
    simulator: Simulator
    store: Database

    @property
    def state(self) -> dict[str, Mapping[str, Any]]:
        """Every record as PCO has it now."""
        return {one["id"]: one for one in self.simulator.state(self.walked.entity)}

    async def rows(self, entity: str | None = None) -> list[dict[str, Any]]:
        """What stands in the mirror, of what is walked or of another kind."""
        table = mirror_table(load_catalog().entity(entity or self.walked.entity))
        async with self.store.transaction() as connection:
            found = await connection.execute(select(table).where(table.c.org_id == self.org_id))
            return [dict(row._mapping) for row in found]

    def change(self, changes: Sequence[tuple[str, int, int]], *, during: bool) -> None:
        """Let these happen now, or between the requests to come. A place that is not there any more is left out.

        Who is merged goes into the one who stands behind now.
        """
        for operation, place, request in changes:
            ids = self.simulator.world.collection(self.walked.entity).ids
            change = Change(
                operation=operation,
                entity=self.walked.entity,
                place=place % RECORDS,
                into=ids[(place % RECORDS + 1) % len(ids)] if operation == "merge" else None,
                attributes={} if operation == "delete" else {"remote_id": place},
                after_request=len(self.simulator.log.entries) + request if during else 0,
            )
            if during:
                self.simulator.churn.waiting.append(change)
            elif place % RECORDS < len(ids):
                change.apply(self.simulator.world)

    async def read(
        self, mode: Mode, *, since: datetime | None = None, resources: Resources | None = None
    ) -> SyncContext:
        """One run of the walk, as the flow does it; with `resources` to its end, deletions included."""
        entity = load_catalog().entity(self.walked.entity)
        now = datetime.now(UTC)
        window = choose_window(entity, mode=mode, until=now, watermark=since)
        async with self.client() as client:
            opened, lease = await open_run(self.store, self._request(mode, window))
            assert isinstance(opened, Opened)
            assert lease is not None
            assert entity.list_path is not None
            async with self.store.transaction() as connection:
                members = await members_of(connection, opened.run)
            sync = SyncContext(
                run=opened.run,
                entity=entity,
                path=entity.list_path,
                table=mirror_table(entity),
                windows={0: window},
                client=client,
                patient=PatientClient(client=client, delays=(), lane=self.walked.entity),
                database=self.store,
                large_pages=asyncio.Semaphore(1),
                in_flight=3,
                part_records=self.walked.part_records,
                companions={one.include: companion_of(one) for one in members},
                included=tuple(one.include for one in members),
            )
            walks = PartWalks([Part(number=0, window=window)], page_size=PAGE)

            async def once(page: PageRef) -> dict[str, Any]:
                return asdict(await apply_page(sync, page, attempt=1))

            with entered(sync):
                await read_collection(walks, sync, processing=PageProcessing(whole=once, part=once))
            if resources is not None:
                await _complete(resources, sync)
            await lease.release()
            return sync

    @asynccontextmanager
    async def client(self) -> AsyncIterator[PcoClient]:
        """A client of this church."""
        transport = httpx.ASGITransport(app=build_app(self.simulator))
        async with httpx.AsyncClient(verify=NOBODY, transport=transport) as http:
            yield PcoClient(
                http,
                credential=PersonalAccessToken("app", "secret"),
                governor=ProcessGovernor(),
                base_url="http://simulated",
                user_agent="pco-sync tests",
            )

    def _request(self, mode: Mode, window: Window) -> RunRequest:
        return RunRequest(
            org_id=self.org_id,
            entity=self.walked.entity,
            mode=mode,
            on_conflict="restart",
            window=RunWindow(attribute=window.attribute, since=window.since, until=window.until),
            page_size=PAGE,
            owner="a test",
            flow_run_id=None,
            lease_seconds=30,
            sideloads=load_catalog().brought_by(self.walked.entity),
        )


async def _complete(resources: Resources, sync: SyncContext) -> None:
    await find_deletions(resources, sync, many="stop")
    await distrust_short_includes(resources, sync)
    for one in sync.companions.values():
        await find_deletions_with_owners(resources, sync, one, many="stop")
    async with resources.database.transaction() as connection:
        await finish_run(connection, sync.run, "completed")


def church(walked: Walked, store: Database, seed: int) -> Church:
    """A church that nobody has read yet. Its answers take a little while, so that they overtake each other."""
    world = World(seed=seed, people=RECORDS, groups=0)
    collection = world.collection(walked.entity)
    if len(collection.ids) < RECORDS:
        for _ in range(RECORDS - len(collection.ids)):
            collection.create({"updated_at": "2024-03-04T05:06:07Z", "created_at": "2024-03-04T05:06:07Z"})
    simulator = Simulator(world, Settings(credentials={"app": "secret"}, latency=0.0005))
    return Church(org_id=next(_churches), walked=walked, simulator=simulator, store=store)
