"""A fan-out from its parents to its last child in this process, by the steps that flows take, without Prefect."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from pydantic import SecretStr
from sqlalchemy import text

from pco_catalog.catalog import load_catalog
from pco_catalog.chains import Chain, chain_to
from pco_catalog.due_lists import cheapest_chain
from pco_store.ledger.fan_out.children import claim_children
from pco_store.ledger.fan_out.fan_outs import complete_if_done, mark_awaiting_children
from pco_store.ledger.leases import RunLease, open_run
from pco_store.ledger.openings import FAN_OUT_SCOPE, Opened
from pco_store.ledger.runs import FanOutPlan, RunHandle
from tasks.deletions.below_parents import find_deletions_below
from tasks.deletions.from_a_list import Deletions, ManyDeletions
from tasks.fan_out.children import ChildrenReport, ChildWork, run_children
from tasks.fan_out.from_mirror import insert_from_mirror
from tasks.lifespan import Resources, get_client_for_org, opened_resources
from tasks.pages.processing import directly
from tasks.pages.run_walk import begin_walk, finish_walk
from tasks.pages.sync_context import Spawn
from tasks.runs.opening import run_request, run_window
from tasks.settings import SyncSettings
from tests.likeness import differences
from tests.simulators import SimulatorProcess

ORG = "grace"


@dataclass(frozen=True)
class FanOutChurch:
    """A church whose fan-outs are run here and now: below the parents in `below`, or by the cheapest way."""

    resources: Resources
    simulator: SimulatorProcess
    entity: str
    below: tuple[str, ...] = ()

    async def run(self, epoch: str, *, meanwhile: Callable[[], None] = lambda: None) -> RunHandle:
        """Read all parents, then all children; `meanwhile` happens between them. The fan-out's handle, to read from."""
        resources, chain = self.resources, self.chain
        client = await get_client_for_org(ORG, resources)
        root, lease = await self._open(epoch)
        first = chain.levels[0]
        window = run_window(first.entity, mode="full", until=root.started_at, watermark=None)
        spawn = Spawn(root=root, level=first, window=window, parent_scope="")
        assert chain.root.list_path is not None
        sync, walks = await begin_walk(
            resources, client, root, chain.root, path=chain.root.list_path, in_flight=4, spawn=spawn
        )
        await finish_walk(walks, sync, directly(resources.settings))
        async with resources.database.transaction() as connection:
            await mark_awaiting_children(connection, root)
        await lease.release()
        meanwhile()
        await self.run_children(root)
        return root

    async def run_due(
        self,
        epoch: str,
        *scopes: str,
        most_requests: int = 10_000,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> RunHandle:
        """Read what is due: the lists of these scopes, which nobody has read for long. `meanwhile` as above."""
        await self.sql(
            "UPDATE sync.lists SET last_read_at = last_read_at - interval '100 days' WHERE scope = ANY(:scopes)",
            scopes=list(scopes),
        )
        root, lease = await self._open(epoch, mode="due", most_requests=most_requests)
        async with self.resources.database.transaction() as connection:
            await insert_from_mirror(connection, root, self.chain)
        await lease.release()
        meanwhile()
        await self.run_children(root)
        return root

    @property
    def chain(self) -> Chain:
        """The parents that lead to the entity."""
        catalog = load_catalog()
        entity = catalog.entity(self.entity)
        return chain_to(catalog, entity, self.below) if self.below else cheapest_chain(catalog, entity, {})

    async def _open(self, epoch: str, *, mode: str = "full", most_requests: int = 0) -> tuple[RunHandle, RunLease]:
        request = await run_request(
            self.resources,
            org_id=ORG,
            entity=load_catalog().entity(self.entity),
            read_entity=self.chain.root,
            scope=FAN_OUT_SCOPE,
            epoch=epoch,
            on_conflict="join",
            mode="full",
            path=self.chain.levels[-1].path,
            fan_out=FanOutPlan(
                below=tuple(self.chain.names), groups_per_run=50, most_under_way=1000, most_requests=most_requests
            ),
        )
        opened, lease = await open_run(self.resources.database, replace(request, mode=mode))
        assert isinstance(opened, Opened)
        assert lease is not None
        return opened.run, lease

    async def run_children(self, root: RunHandle) -> ChildrenReport:
        """Run every child that waits; the report of the last ones."""
        client = await get_client_for_org(ORG, self.resources)
        work = ChildWork(
            resources=self.resources, client=client, root=root, processing=directly(self.resources.settings)
        )
        report = ChildrenReport()
        while keys := await self._waiting(root):
            async with self.resources.database.transaction() as connection:
                claim = await claim_children(connection, keys, owner="a test", flow_run_id=None, lease_seconds=60)
            report = await run_children(work, claim.runs, in_flight=4)
        async with self.resources.database.transaction() as connection:
            await complete_if_done(connection, root.run_id)
        return report

    async def find_deletions(self, root: RunHandle, *, many: ManyDeletions = "stop") -> Deletions | None:
        """What the flow does when the fan-out is over."""
        client = await get_client_for_org(ORG, self.resources)
        return await find_deletions_below(self.resources, client, root, many=many)

    async def rows(self) -> list[dict[str, Any]]:
        """What stands in the mirror."""
        entity = load_catalog().entity(self.entity)
        found = await self.sql(f'SELECT * FROM "{entity.schema_name}"."{entity.table_name}"')
        return [dict(row._mapping) for row in found]

    async def buried(self) -> set[str]:
        """Who has a tombstone."""
        return {row["id"] for row in await self.rows() if row["_deleted_at"] is not None}

    async def differences(self) -> list[str]:
        """In what the mirror differs from PCO."""
        return differences(self.simulator.state(self.entity), await self.rows(), load_catalog().entity(self.entity))

    async def sql(self, statement: str, **values: Any) -> Any:
        """Run a statement on the mirror's database."""
        async with self.resources.database.transaction() as connection:
            result = await connection.execute(text(statement), values)
            return result.all() if result.returns_rows else []

    async def _waiting(self, root: RunHandle) -> list[str]:
        found = await self.sql(
            "SELECT key FROM sync.runs WHERE parent_run_id = :root AND state IN ('pending', 'submitted')",
            root=root.run_id,
        )
        return [row.key for row in found]


@asynccontextmanager
async def fan_out_church(
    simulator: SimulatorProcess,
    entity: str,
    *,
    below: tuple[str, ...] = (),
    database_url: str,
    redis_url: str,
    page_size: int = 100,
) -> AsyncIterator[FanOutChurch]:
    """The church that the simulator serves, in an empty mirror."""
    settings = SyncSettings(
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        org_id=ORG,
        application_id=SecretStr(simulator.app_id),
        secret=SecretStr(simulator.secret),
        pco_base_url=simulator.base_url,
        page_size=page_size,
        retry_first_seconds=0.01,
        retry_total_seconds=0.03,
    )
    async with opened_resources(settings) as resources:
        yield FanOutChurch(resources, simulator, entity, below)
