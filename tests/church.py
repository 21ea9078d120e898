"""One church under test: how it is synced, what PCO was asked, what stands in its mirror."""

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, State
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from flows.sync_entity import sync_entity
from pco_catalog.catalog import load_catalog
from pco_store.connecting import connect_arguments
from pco_store.database import ANY_ADDRESS, Database, unavailable_means_retry
from pco_store.database_url import parse_database_url
from pco_store.mirror.tables import mirror_table
from tasks.reports.sync_summary import SyncSummary
from tests.likeness import differences
from tests.simulators import SimulatorProcess

PEOPLE = "people.Person"
OF_ONE_PERSON: Final = re.compile(r"/people/\d+/(person_apps|platform_notifications)$")


@dataclass(frozen=True, kw_only=True)
class Church:
    """`base` is the environment that leads to Prefect."""

    org_id: str
    base: Mapping[str, str]
    database_url: str
    redis_url: str
    simulator: SimulatorProcess

    def environment(self) -> dict[str, str]:
        """What a program needs to sync this church."""
        return {
            **self.base,
            "PCO_SYNC_DATABASE_URL": self.database_url,
            "PCO_SYNC_REDIS_URL": self.redis_url,
            "PCO_SYNC_ORG_ID": self.org_id,
            "PCO_SYNC_APPLICATION_ID": self.simulator.app_id,
            "PCO_SYNC_SECRET": self.simulator.secret,
            "PCO_SYNC_PCO_BASE_URL": self.simulator.base_url,
        }

    def served_by(self, simulator: SimulatorProcess) -> "Church":
        """The same church in another world."""
        return replace(self, simulator=simulator)

    def sync(self, entity: str = PEOPLE, **parameters: Any) -> SyncSummary:
        """Run the flow as a plain script does, to its end. Raises what the flow raises."""
        summary: SyncSummary = sync_entity(self.org_id, entity, **parameters)
        return summary

    def end(self, entity: str = PEOPLE, **parameters: Any) -> State[Any]:
        """Run the flow and return its final state, whatever it is."""
        state: State[Any] = sync_entity(self.org_id, entity, return_state=True, **parameters)
        return state

    def sql(self, statement: str, **values: Any) -> Sequence[Any]:
        """Run one statement on the mirror's database and return its rows."""

        async def run() -> Sequence[Any]:
            with unavailable_means_retry():
                async with _engine(self.database_url).begin() as connection:
                    result = await connection.execute(text(statement), values)
                    return result.all() if result.returns_rows else []

        return asyncio.run(run())

    def rows(self, entity: str = PEOPLE) -> list[dict[str, Any]]:
        """Every row of this church in the table of an entity."""
        table = mirror_table(load_catalog().entity(entity))
        found = self.sql(
            f'SELECT * FROM "{table.schema}"."{table.name}" WHERE org_id = :org_id ORDER BY id', org_id=self.org_id
        )
        return [dict(row._mapping) for row in found]

    def differences(self, entity: str = PEOPLE) -> list[str]:
        """In what the mirror differs from what stands in PCO now, value by value."""
        return differences(self.simulator.state(entity), self.rows(entity), load_catalog().entity(entity))

    def reads(self) -> Counter[tuple[str, int]]:
        """How often each page was asked for, by path and offset; other requests are left out.

        So are the lists of single people that are compared with what came with people.
        """
        return Counter(
            (one["path"], one["offset"])
            for one in self.simulator.access_log()
            if "per_page=" in one["query"] and not OF_ONE_PERSON.search(one["path"])
        )

    def committed(self) -> set[int]:
        """The offsets of the pages that stand in the ledger."""
        return {row[0] for row in self.sql('SELECT DISTINCT "offset" FROM sync.pages')}

    @contextmanager
    def silence(self) -> Iterator[None]:
        """PCO takes connections and does not answer while the block runs."""
        os.kill(self.simulator.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.simulator.pid, signal.SIGCONT)

    @contextmanager
    def checkpoints_wait(self) -> Iterator[None]:
        """No page can be committed while the block runs: its checkpoint has to wait, and its rows with it."""
        database = Database(self.database_url, pool_size=1)
        with asyncio.Runner() as runner:
            transaction = database.transaction()
            connection = runner.run(transaction.__aenter__())
            runner.run(_execute(connection, "LOCK TABLE sync.pages IN EXCLUSIVE MODE"))
            try:
                yield
            finally:
                runner.run(transaction.__aexit__(None, None, None))
                runner.run(database.aclose())

    def waiting_transactions(self) -> int:
        """How many connections wait for somebody's lock."""
        waiting = self.sql(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return len(waiting)

    def runs(self) -> Sequence[Any]:
        """The ledger's runs, oldest first, without those of what comes with a list."""
        return self.sql("SELECT * FROM sync.runs WHERE read_with IS NULL ORDER BY run_id")


@lru_cache
def _engine(url: str) -> AsyncEngine:
    """It keeps no connection, and knows the server from the second one on."""
    arguments = connect_arguments(parse_database_url(url))
    return create_async_engine(ANY_ADDRESS, poolclass=NullPool, connect_args=arguments)


async def _execute(connection: AsyncConnection, statement: str) -> None:
    await connection.execute(text(statement))


def read_flow_run(identity: Any) -> FlowRun:
    """A flow run, as the Prefect server knows it."""

    async def read() -> FlowRun:
        async with get_client() as client:
            (run,) = await client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[identity])))
            return run

    return asyncio.run(read())
