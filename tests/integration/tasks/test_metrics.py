"""A scrape says what the ledger shows, costs one reading in half a minute, and survives a database that is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, text

from embedded.postgres import Postgres
from embedded.server_process import free_port
from pco_store.database import Database
from tasks.metrics.readings import KEPT_SECONDS, Readings
from tasks.metrics.resident import PATIENCE_SECONDS, stay
from tests.integration.ledger_rows import LedgerRows, ago
from tests.plain_http import NOBODY

PEOPLE, MEMBERSHIPS = "people.Person", "groups.Membership"
Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Scraped:
    """What was answered, and its samples by name and labels."""

    status: int
    content_type: str
    body: str

    def samples(self) -> dict[tuple[str, Labels], float]:
        found: dict[tuple[str, Labels], float] = {}
        for family in text_string_to_metric_families(self.body):
            assert (family.type, bool(family.documentation)) == ("gauge", True)
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in found
                found[key] = sample.value
        return found

    def of_church(self, org_id: str) -> dict[str, float]:
        labels = frozenset({("org_id", org_id)})
        return {
            name.removeprefix("pco_sync_church_"): value for (name, of), value in self.samples().items() if of == labels
        }


@dataclass
class Endpoint:
    """The resident, as a worker keeps it."""

    port: int
    client: httpx.AsyncClient

    async def get(self, path: str = "/metrics", method: str = "GET") -> Scraped:
        answer = await self.client.request(method, f"http://127.0.0.1:{self.port}{path}")
        return Scraped(answer.status_code, answer.headers["content-type"], answer.text)


@pytest.fixture
async def endpoint(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Endpoint]:
    """It serves the test's own database until the test is over."""
    port = free_port()
    monkeypatch.setenv("PCO_SYNC_DATABASE_URL", database_url)
    monkeypatch.setenv("PCO_SYNC_REDIS_URL", redis_url)
    monkeypatch.setenv("PCO_SYNC_METRICS_PORT", str(port))
    resident = asyncio.create_task(stay())
    async with httpx.AsyncClient(verify=NOBODY, timeout=30, trust_env=False) as client:
        found = Endpoint(port, client)
        async with asyncio.timeout(30):
            while True:
                assert not resident.done(), resident
                with suppress(httpx.ConnectError):
                    await found.get("/")
                    break
                await asyncio.sleep(0.02)
        yield found
    resident.cancel()
    with pytest.raises(asyncio.CancelledError):
        await resident
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_it_says_what_the_ledger_shows_of_each_church_and_of_all(endpoint: Endpoint, database: Database) -> None:
    grace, hope, new, torn = (LedgerRows(database, name) for name in ("grace", 'hope "1"', "new", "torn"))
    began = datetime.now(UTC)
    await grace.run(PEOPLE, ago(hours=3))
    run = await grace.run(PEOPLE, ago(minutes=10), mode="delta", verdict=None)
    for resolved in (None, None, ago(hours=1)):
        await grace.quarantine(MEMBERSHIPS, run, resolved=resolved)
    await hope.run(PEOPLE, ago(days=1))
    await hope.run(PEOPLE, ago(hours=23), mode="delta", state="failed", error="Ada Lovelace", verdict=None)
    await new.run(PEOPLE, ago(minutes=1), state="running")
    await new.fan_out(MEMBERSHIPS, ago(minutes=1), ["groups.Group"], state="awaiting", children="dead dead completed")
    await torn.run(PEOPLE, ago(hours=1))
    await torn.quarantine(PEOPLE, await torn.run(PEOPLE, ago(minutes=1)))

    scraped = await endpoint.get()
    late = (datetime.now(UTC) - began).total_seconds()
    assert (scraped.status, scraped.content_type.split(";")[0]) == (200, "text/plain")
    of_grace = scraped.of_church("grace")
    assert (of_grace["is_current"], of_grace["overdue_kinds"]) == (1, 0)
    assert 3 * 3600 <= of_grace["complete_age_seconds"] <= 3 * 3600 + late
    assert 600 <= of_grace["changes_age_seconds"] <= 600 + late
    of_hope = scraped.of_church('hope "1"')
    assert (of_hope["is_current"], of_hope["overdue_kinds"]) == (0, 1)
    assert 86400 <= of_hope["complete_age_seconds"] <= 86400 + late
    assert scraped.of_church("new") == {"is_current": 0, "overdue_kinds": 2}, "what nobody knows has no sample"
    of_torn = scraped.of_church("torn")
    assert (of_torn["is_current"], of_torn["overdue_kinds"]) == (0, 0), "incomplete is not current"

    others = {(name, of): value for (name, of), value in scraped.samples().items() if "org_id" not in dict(of)}
    assert others == {
        ("pco_sync_runs", frozenset({("state", "running")})): 1,
        ("pco_sync_runs", frozenset({("state", "awaiting")})): 1,
        ("pco_sync_runs", frozenset({("state", "failed")})): 1,
        ("pco_sync_runs", frozenset({("state", "dead")})): 2,
        ("pco_sync_quarantine_open", frozenset()): 3,
    }
    assert "Ada" not in scraped.body


async def test_a_ledger_without_churches_is_told_too_and_other_paths_are_not_there(endpoint: Endpoint) -> None:
    samples = (await endpoint.get()).samples()
    assert {name for name, _ in samples} == {"pco_sync_runs", "pco_sync_quarantine_open"}
    assert set(samples.values()) == {0}
    assert [(await endpoint.get("/")).status, (await endpoint.get(method="POST")).status] == [404, 405]


async def test_a_database_that_is_away_is_told_and_waited_for(
    endpoint: Endpoint, database: Database, database_url: str, postgres: Postgres
) -> None:
    async with database.transaction() as connection:
        name = await connection.scalar(text("SELECT current_database()"))
    postgres.psql("postgres", f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        postgres.psql(
            "postgres", f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        away = await endpoint.get()
    finally:
        postgres.psql("postgres", f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert (away.status, away.content_type) == (503, "text/plain; charset=utf-8")
    assert away.body.startswith("the ledger cannot be read: St")
    assert away.body.count("\n") == 1
    assert str(name) not in away.body
    assert (await endpoint.get()).status == 200


async def test_a_database_that_is_silent_is_told_before_prometheus_gives_up(
    endpoint: Endpoint, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PATIENCE_SECONDS < 10
    monkeypatch.setattr("tasks.metrics.resident.PATIENCE_SECONDS", 0.1)
    async with database.transaction() as connection:
        await connection.execute(text("LOCK TABLE sync.runs"))
        silent = await endpoint.get()
    assert (silent.status, silent.body) == (503, "the ledger cannot be read: TimeoutError\n")


async def test_many_scrapes_are_one_reading_in_half_a_minute_and_ages_go_on(database: Database) -> None:
    now, readings_made = [1000.0], []
    readings = Readings(database, clock=lambda: now[0])
    await readings.newest()  # the connection is made, and proven to be our own
    event.listen(database.engine.sync_engine, "checkout", lambda *_: readings_made.append(now[0]))

    now[0] += KEPT_SECONDS
    found = await asyncio.gather(*(readings.newest() for _ in range(10)))
    assert len(readings_made) == 1
    ((reading, at),) = {(id(one), at): (one, at) for one, at in found}.values()
    assert at == reading.at

    now[0] += KEPT_SECONDS - 1
    again, later = await readings.newest()
    assert (again is reading, (later - at).total_seconds(), len(readings_made)) == (True, KEPT_SECONDS - 1, 1)
    now[0] += 1
    fresh, _ = await readings.newest()
    assert (fresh is reading, len(readings_made)) == (False, 2)


async def test_without_a_port_nothing_listens(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCO_SYNC_DATABASE_URL", database_url)
    monkeypatch.setenv("PCO_SYNC_REDIS_URL", redis_url)
    listening: list[object] = []
    monkeypatch.setattr("socket.create_server", lambda *given, **_: listening.append(given))
    resident = asyncio.create_task(stay())
    for _ in range(10):
        await asyncio.sleep(0)
    assert (resident.done(), listening) == (False, [])
    resident.cancel()
