"""A list of the simulator and its mirror, brought there without a sync, so that a test decides what it holds."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr
from sqlalchemy import text

from pco_catalog.catalog import Entity, load_catalog
from pco_store.mirror.tables import mirror_table
from pco_store.mirror.upsert import upsert_rows
from tasks.lifespan import Resources, get_client_for_org, opened_resources
from tasks.rows.transform import transform_page
from tasks.settings import SyncSettings
from tasks.verification.proof import Method, Proof
from tasks.verification.proving import prove
from tests.simulators import SimulatorProcess

ORG = "grace"


@dataclass(frozen=True)
class MirroredList:
    """What is verified. `requests` of the last proof are in the simulator's log."""

    resources: Resources
    simulator: SimulatorProcess
    entity: Entity

    async def fill(self, *, without: Collection[str] = (), ago: timedelta = timedelta()) -> None:
        """Bring the list into the mirror as it is now, but for some ids; complete as of now or some time ago."""
        as_of = datetime.now(UTC).replace(microsecond=0) - ago
        page = transform_page(
            [one for one in self.simulator.state(self.entity.name) if one["id"] not in without],
            entity=self.entity,
            org_id=ORG,
            epoch="e",
            observed_at=as_of - timedelta(seconds=1),
        )
        async with self.resources.database.transaction() as connection:
            await connection.execute(text("SELECT 1"))
            await upsert_rows(connection, mirror_table(self.entity), page.rows)
            await connection.execute(
                text(
                    "INSERT INTO sync.watermarks (org_id, entity, scope, watermark, run_id) "
                    "VALUES (:org_id, :entity, '', :as_of, 1) ON CONFLICT (org_id, entity, scope) "
                    "DO UPDATE SET watermark = excluded.watermark"
                ),
                {"org_id": ORG, "entity": self.entity.name, "as_of": as_of},
            )

    async def verify(self, method: Method, *, sample_pages: int = 3) -> Proof:
        """Compare; the simulator's log holds what that has cost."""
        client = await get_client_for_org(ORG, self.resources)
        self.simulator.reset_log()
        proof = await prove(self.resources, client, ORG, self.entity, method=method, sample_pages=sample_pages, seed=1)
        sent = len(self.simulator.access_log())
        assert proof.requests == sent or (proof.verdict == "Unknown" and proof.requests < sent)
        return proof

    async def sql(self, statement: str, **values: Any) -> Any:
        """Run a statement on the mirror's database; TABLE stands for the entity's table."""
        table = f'"{self.entity.schema_name}"."{self.entity.table_name}"'
        async with self.resources.database.transaction() as connection:
            result = await connection.execute(text(statement.replace("TABLE", table)), values)
            return result.all() if result.returns_rows else []

    async def quarantine(self, *record_ids: str | None) -> None:
        """Let these records stand open in quarantine."""
        for one in record_ids:
            await self.sql(
                'INSERT INTO sync.quarantine (org_id, entity, run_id, reading, "offset", record_id, reason) '
                "VALUES (:org_id, :entity, 1, 1, 0, :record_id, 'a test')",
                org_id=ORG,
                entity=self.entity.name,
                record_id=one,
            )

    def ids(self) -> list[str]:
        """All records, in the order of the list."""
        return [one["id"] for one in self.simulator.state(self.entity.name)]

    def edit(self, place: int, attributes: dict[str, Any], *, silently: bool = False) -> str:
        """Change a record by its place in the list; silently: without moving its time of change. Its id."""
        record = self.simulator.state(self.entity.name)[place]
        kept = {"updated_at": record["attributes"]["updated_at"]} if silently else {}
        change = {"operation": "edit", "entity": self.entity.name, "id": record["id"]}
        self.simulator.churn([{**change, "attributes": {**kept, **attributes}}])
        return str(record["id"])

    def delete(self, *ids: str, after_request: int = 0) -> None:
        """Delete records, at once or after so many requests."""
        change = {"operation": "delete", "entity": self.entity.name, "after_request": after_request}
        self.simulator.churn([{**change, "id": one} for one in ids])

    def create(self, count: int = 1, *, after_request: int = 0, **attributes: Any) -> None:
        """Create records, at once or after so many requests."""
        change = {"operation": "create", "entity": self.entity.name, "after_request": after_request}
        self.simulator.churn([{**change, "count": count, "attributes": attributes}])


@asynccontextmanager
async def mirrored_list(
    simulator: SimulatorProcess, entity: str, *, database_url: str, redis_url: str
) -> AsyncIterator[MirroredList]:
    """The list, with an empty mirror."""
    settings = SyncSettings(
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url),
        org_id=ORG,
        application_id=SecretStr(simulator.app_id),
        secret=SecretStr(simulator.secret),
        pco_base_url=simulator.base_url,
        retry_first_seconds=0.01,
        retry_total_seconds=0.03,
    )
    async with opened_resources(settings) as resources:
        yield MirroredList(resources, simulator, load_catalog().entity(entity))
