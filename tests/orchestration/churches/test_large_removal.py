"""A church of many rows is removed while another one, which is read with the same token, is synced."""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace
from typing import Any, Final

import pytest
from redis import Redis
from sqlalchemy import Connection, Engine, event
from sqlalchemy.pool import Pool

from deployments.app import main
from deployments.exit_codes import DONE
from deployments.provisioning.provision import save_credentials
from pco_client.auth import PersonalAccessToken
from pco_client.redis_governor import budget_keys
from pco_store.database import Database
from tests.church import PEOPLE, Church
from tests.integration.pco_store.churches.test_church_removal import CANARY, fill_every_table, tables_with
from tests.migration.old_mirror import plainly

pytestmark = pytest.mark.usefixtures("restored_signals")

SHARES: Final = {"people.person": 4, "people.email": 3, "people.field_datum": 2, "giving.donation": 1}
MOST_SECONDS_PER_MILLION: Final = 60.0
LONGEST_LOCK: Final = 0.1


class Looking(threading.Thread):
    """Looks at Postgres all the time: how long a lock was waited for, and how often it looked."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._is_over = threading.Event()
        self.waited = 0.0
        self.looks = 0

    def __enter__(self) -> "Looking":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join()

    def run(self) -> None:
        asyncio.run(self._look())

    async def _look(self) -> None:
        async with plainly(self._url) as plain:
            while not self._is_over.is_set():
                longest = await plain.fetchval(
                    "SELECT extract(epoch FROM max(clock_timestamp() - waitstart)) FROM pg_locks "
                    "WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                )
                self.waited = max(self.waited, float(longest or 0))
                self.looks += 1
                await asyncio.sleep(0.005)


class Syncing(threading.Thread):
    """Syncs a church again and again, with this thread's settings of Prefect."""

    def __init__(self, church: Church) -> None:
        super().__init__(target=copy_context().run, args=(self._sync,))
        self._church = church
        self._is_over = threading.Event()
        self.rows: list[int] = []
        self.trouble: list[BaseException] = []

    def __enter__(self) -> "Syncing":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join()

    def _sync(self) -> None:
        try:
            while not self._is_over.is_set() or not self.rows:
                self.rows.append(self._church.sync().rows)
        except BaseException as error:  # noqa: BLE001 - the test shows it
            self.trouble.append(error)


@contextmanager
def batches() -> Iterator[list[float]]:
    """How long each transaction of this process took that closed runs or deleted rows, until it was committed."""
    seconds: list[float] = []
    begun: dict[Any, float] = {}

    def execute(connection: Connection, _: object, statement: str, *__: object) -> None:
        if statement.startswith(("DELETE FROM", "UPDATE sync.runs SET state = 'closed'")):
            begun.setdefault(connection.connection.dbapi_connection, time.monotonic())

    def give_back(connection: object, _: object) -> None:
        if connection in begun:
            seconds.append(time.monotonic() - begun.pop(connection))

    event.listen(Engine, "before_cursor_execute", execute)
    event.listen(Pool, "checkin", give_back)
    yield seconds
    event.remove(Engine, "before_cursor_execute", execute)
    event.remove(Pool, "checkin", give_back)


async def _fill(url: str, rows: int) -> None:
    database = Database(url, pool_size=1)
    await fill_every_table(database, "grace", CANARY, 999_999)
    await database.aclose()
    async with plainly(url) as plain:
        for table, share in SHARES.items():
            await plain.execute(
                f"INSERT INTO {table} (org_id, id, _epoch, _synced_at, _content_hash, extra) "
                "SELECT 'grace', (1000000 + n)::text, 'epoch', now(), decode(md5(n::text), 'hex'), "
                "jsonb_build_object('told', $2::text || repeat(md5(n::text), 8)) FROM generate_series(1, $1) AS n",
                rows * share // sum(SHARES.values()),
                CANARY,
            )
        await plain.execute("ANALYZE")


async def _tables_with_canary(url: str) -> set[str]:
    async with Database(url, pool_size=1) as database:
        return await tables_with(database, CANARY)


@pytest.mark.parametrize("rows", [20_000, pytest.param(1_000_000, marks=pytest.mark.nightly)])
def test_a_large_church_goes_fast_and_in_no_ones_way(
    church: Church, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rows: int
) -> None:
    world = church.simulator
    asyncio.run(save_credentials("grace", application_id=world.app_id, secret=world.secret, base_url=world.base_url))
    asyncio.run(_fill(church.database_url, rows))
    monkeypatch.setenv("PCO_SYNC_ORG_ID", "hope")
    other = replace(church, org_id="hope")
    assert other.sync().rows == 120
    with Redis.from_url(church.redis_url, decode_responses=True) as redis:
        budget = set(budget_keys(PersonalAccessToken(world.app_id, world.secret).identity))
        assert budget & set(redis.scan_iter())
    capsys.readouterr()
    assert main(["churches", "remove", "grace", "--json"]) == DONE
    assert json.loads(capsys.readouterr().out)["keys"] == 0, "the budget is that of the other church, too"

    with Looking(church.database_url) as looking, Syncing(other) as syncing, batches() as took:
        began = time.monotonic()
        code = main(["churches", "remove", "grace", "--yes"])
        seconds = time.monotonic() - began
    told = capsys.readouterr()
    assert code == DONE, told.err
    assert syncing.trouble == []
    assert other.differences(PEOPLE) == []
    assert asyncio.run(_tables_with_canary(church.database_url)) == set()
    with Redis.from_url(church.redis_url, decode_responses=True) as redis:
        keys = set(redis.scan_iter())
    assert [one for one in keys if "grace" in one or CANARY in one] == []
    took.sort()
    assert took, "they were seen"
    median, nearly_all, longest = (took[int((len(took) - 1) * share)] * 1000 for share in (0.5, 0.99, 1))
    sys.stdout.write(
        f"\n{rows:,} rows: removed in {seconds:.1f} s beside {len(syncing.rows)} syncs; {len(took)} batches: "
        f"median {median:.0f} ms, 99 of 100 {nearly_all:.0f} ms, longest {longest:.0f} ms; a lock was waited for "
        f"{looking.waited * 1000:.0f} ms at most in {looking.looks} looks\n"
    )
    if rows == 1_000_000:
        assert seconds <= MOST_SECONDS_PER_MILLION
        assert looking.waited <= LONGEST_LOCK
