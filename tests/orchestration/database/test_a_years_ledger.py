"""The ledger of a large church after a year, of rows as syncs leave them: what it weighs, and how soon it answers."""

import asyncio
import time
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

import pytest
from sqlmodel import SQLModel

from deployments.current.data import read_current
from flows.sync_child import sync_child
from flows.sync_organization import sync_organization
from pco_store.database import Database
from pco_store.freshness.keeping import keep_all_facts
from pco_store.freshness.reading import read_tables
from pco_store.retention.lifetimes import Lifetimes
from tests.church import Church

DAYS: Final = Lifetimes().turns.days + 1
DELTAS: Final = 96 * DAYS
BELOW: Final = 6000 * DAYS
"""Lists below parents: each night's budget, as if each took one request."""
WEEKS: Final = DAYS // 7 + 2
PAGES_A_WEEK: Final = 10_000
"""Of the lists at top level: a million records."""
DUE_LISTS: Final = 250_000
"""Below parents, if the rare kinds are read, too; as many of each."""
LINKS: Final = 300_000
MOST_BYTES: Final = 1_500_000_000
MOST_SECONDS_FOR_A_CHURCH: Final = 0.2
CHURCHES: Final = 1000
MOST_SECONDS_FOR_ALL: Final = 1.0
CHANGED: Final = 2
"""Churches whose facts nobody has kept yet: those whose delta, of two seconds every 15 minutes, is under way."""

OWN: Final = ("run_id", "token", "key", "epoch", "turn", "org_id")


def columns(table: str) -> str:
    return ", ".join(
        f'one."{column.name}"' for column in SQLModel.metadata.tables[table].columns if column.name not in OWN
    )


def repeat(church: Church, template: int, times: int) -> None:
    """A run with its pages, so many times more; a child is one of the same fan-out."""
    names = columns("sync.runs").replace("one.", "")
    church.sql(
        f"INSERT INTO sync.runs (org_id, key, epoch, turn, {names}) "
        f"SELECT org_id, key || ':' || n, epoch || ':' || n, turn + CAST(:newest AS int) + n, {columns('sync.runs')} "
        "FROM sync.runs AS one, generate_series(1, :times) AS n WHERE run_id = :template",
        template=template,
        times=times,
        newest=church.sql("SELECT coalesce(max(turn), 0) FROM sync.runs")[0][0],
    )
    names = columns("sync.pages").replace("one.", "")
    church.sql(
        f"INSERT INTO sync.pages (run_id, {names}) SELECT run.run_id, {columns('sync.pages')} "
        "FROM sync.pages AS one JOIN sync.runs AS first USING (run_id) "
        "JOIN sync.runs AS run ON run.key LIKE first.key || ':%' AND run.run_id > first.run_id "
        "WHERE one.run_id = :template",
        template=template,
    )


def fill(church: Church) -> Sequence[int]:
    """The ledger of a year, as much of it as is kept; the newest run of each kind and mode."""
    for mode in ("lists", "delta"):
        sync_organization("grace", mode=mode)
    sync_child("grace", "groups.Membership", parents=[str(church.simulator.state("groups.Group")[0]["id"])], epoch="e")
    newest = {(one.entity, one.mode): one.run_id for one in church.sql("SELECT * FROM sync.runs ORDER BY run_id")}
    for (_, mode), run_id in newest.items():
        if mode == "delta":
            repeat(church, run_id, DELTAS)
    repeat(church, newest["groups.Membership", "full"], BELOW)
    repeat(church, newest["people.Email", "full"], WEEKS * PAGES_A_WEEK // 2)
    church.sql(
        "INSERT INTO sync.lists (org_id, entity, path, scope, last_read_at, due_at, pace_seconds, parent_seen) "
        "SELECT 'grace', entity, path, 100000000 + n, now(), now(), 1209600, n "
        "FROM (SELECT DISTINCT ON (path) entity, path FROM sync.kinds, unnest(paths) AS path) AS below, "
        "generate_series(1, :lists / (SELECT count(DISTINCT path) FROM sync.kinds, unnest(paths) AS path)) AS n",
        lists=DUE_LISTS,
    )
    church.sql(
        "INSERT INTO sync.links (org_id, entity, parent, list, scope, id, seen_at) "
        "SELECT 'grace', 'groups.Tag', 'group', 'tags', 100000000 + n, 200000000 + n % 500, now() "
        "FROM generate_series(1, :links) AS n",
        links=LINKS,
    )
    return list(newest.values())


def add_churches(church: Church, templates: Sequence[int]) -> None:
    """Churches that have done what this one has."""
    names = columns("sync.runs").replace("one.", "")
    church.sql(
        f"INSERT INTO sync.runs (org_id, key, epoch, turn, {names}) "
        f"SELECT 'church-' || n, replace(key, 'grace', 'church-' || n), epoch, turn, {columns('sync.runs')} "
        "FROM sync.runs AS one, generate_series(2, :churches) AS n WHERE run_id = ANY(:templates)",
        churches=CHURCHES,
        templates=templates,
    )
    church.sql(
        "INSERT INTO sync.watermarks (org_id, entity, scope, watermark, run_id) "
        "SELECT 'church-' || n, entity, scope, watermark, run_id FROM sync.watermarks, "
        "generate_series(2, :churches) AS n",
        churches=CHURCHES,
    )


def keep(church: Church) -> None:
    """The facts of every church, as the sweep does it."""

    async def kept() -> None:
        async with Database(church.database_url, pool_size=1) as database:
            await keep_all_facts(database)

    asyncio.run(kept())


def of_one_church(church: Church) -> float:
    """Seconds that a reader's query of one church takes; the median of five times."""

    async def asked() -> list[float]:
        taken: list[float] = []
        async with Database(church.database_url, pool_size=1) as database, database.transaction() as connection:
            for _ in range(5):
                began = time.monotonic()
                assert await read_tables(connection, "grace")
                taken.append(time.monotonic() - began)
        return taken

    return median(asyncio.run(asked()))


def of_all_churches(church: Church, monkeypatch: pytest.MonkeyPatch) -> float:
    """Seconds that `status` takes to find out about all of them, its connection included; the median of five times."""
    monkeypatch.setenv("PCO_SYNC_DATABASE_URL", church.database_url)
    taken: list[float] = []
    for _ in range(5):
        began = time.monotonic()
        churches, _tables = asyncio.run(read_current(None, {}))
        taken.append(time.monotonic() - began)
        assert len(churches) == CHURCHES
    return median(taken)


@pytest.mark.nightly
def test_the_ledger_of_a_year_weighs_little_and_tells_at_once_how_current_churches_are(
    church: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = fill(church)
    sizes = church.sql(
        "SELECT relname, pg_total_relation_size(c.oid) AS bytes FROM pg_class AS c "
        "JOIN pg_namespace AS n ON n.oid = relnamespace WHERE nspname = 'sync' AND relkind = 'r' ORDER BY 2 DESC"
    )
    total = sum(int(one.bytes) for one in sizes)
    told: dict[str, Any] = {one.relname: int(one.bytes) // 1_000_000 for one in sizes if one.bytes > 1_000_000}
    add_churches(church, newest)
    keep(church)
    church.sql("ANALYZE")
    told["church, kept"] = kept = of_one_church(church)
    told["churches, kept"] = of_all_churches(church, monkeypatch)
    church.sql("INSERT INTO sync.church_changes (org_id) VALUES ('grace')")
    told["church, changed"] = changed = of_one_church(church)
    keep(church)
    church.sql(
        "INSERT INTO sync.church_changes (org_id) SELECT 'church-' || n FROM generate_series(2, 1 + :changed) AS n",
        changed=CHANGED,
    )
    told["churches, some changed"] = everyone = of_all_churches(church, monkeypatch)
    print(told, total)  # noqa: T201 - with -s
    assert total <= MOST_BYTES, told
    assert max(kept, changed) <= MOST_SECONDS_FOR_A_CHURCH, told
    assert everyone <= MOST_SECONDS_FOR_ALL, told
