"""A reader sees how current its own church is, from what is kept and from the ledger, and of no other church."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from embedded.postgres import Postgres
from pco_store.churches.readers import make_reader
from pco_store.database import Database
from pco_store.freshness.keeping import keep_all_facts
from tests.integration.ledger_rows import LedgerRows, ago
from tests.integration.pco_store.churches.test_readers import as_reader
from tests.integration.views import select

PEOPLE, MEMBERSHIPS, GROUPS, DESIGNATIONS = "people.Person", "groups.Membership", "groups.Group", "giving.Designation"
PATH = "/groups/v2/groups/{group_id}/memberships"
SEEN = "SELECT to_jsonb(one)::text FROM sync.freshness AS one WHERE org_id = 'grace' ORDER BY entity"
OF_A_CHURCH = (
    "runs", "watermarks", "lists", "list_traits", "quarantine", "table_facts", "kept_churches", "church_changes",
)  # fmt: skip
SECRET = (
    "SELECT raw FROM sync.quarantine",
    "SELECT record_id FROM sync.quarantine",
    "SELECT reason FROM sync.quarantine",
    "SELECT owner FROM sync.runs",
    "SELECT token FROM sync.runs",
    "SELECT ids FROM sync.pages",
    "SELECT * FROM sync.proofs",
    "SELECT * FROM sync.links",
    "SELECT * FROM sync.announced",
    "SELECT * FROM sync.fan_outs",
)


@pytest.fixture
async def two(database: Database) -> Database:
    """Two churches, each with lists, lists below parents, quarantine, distrust, and a rule of its own."""
    await select(database, "DELETE FROM sync.readers")
    for org_id, days in (("grace", 1), ("hope", 5)):
        rows = LedgerRows(database, org_id)
        full = await rows.run(PEOPLE, ago(days=days))
        await rows.quarantine(PEOPLE, full)
        await rows.fan_out(MEMBERSHIPS, ago(days=days), [GROUPS], children="completed dead")
        await rows.list(MEMBERSHIPS, "1", path=PATH, read=ago(days=days), due=ago(days=-5))
        await rows.sql(
            "INSERT INTO sync.list_traits VALUES (:org, 'giving.Donation', NULL, "
            "jsonb_build_object('designations', jsonb_build_object('reason', 'x', 'at', now())))"
        )
        await rows.sql("INSERT INTO sync.freshness_rules VALUES (:org, 'delta', '2 hours')")
    await LedgerRows(database, "*").sql("INSERT INTO sync.freshness_rules VALUES (:org, '*', '9 days')")
    return database


@pytest.fixture
async def reader(two: Database, database_url: str, postgres: Postgres) -> AsyncIterator[asyncpg.Connection]:
    """Who reads the church `grace`."""
    session = await as_reader(postgres, database_url, await make_reader(two, "grace"))
    yield session
    await session.close()


@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_reader_sees_of_its_own_church_what_its_owner_sees_and_nothing_of_others(
    two: Database, reader: asyncpg.Connection, is_kept: bool
) -> None:
    if is_kept:
        await keep_all_facts(two)
    seen = [row[0] for row in await reader.fetch(SEEN)]
    assert seen == [row["to_jsonb"] for row in await select(two, SEEN.replace("::text", "::text AS to_jsonb"))]
    assert len(seen) == 220
    assert {row["org_id"] for row in await reader.fetch("SELECT org_id FROM sync.freshness")} == {"grace"}
    people = await reader.fetchrow("SELECT * FROM sync.freshness WHERE entity = $1", PEOPLE)
    assert (people["freshness"], people["quarantined"]) == ("overdue", 1)


async def test_no_row_of_another_church_is_seen_in_any_table_behind_it(
    two: Database, reader: asyncpg.Connection
) -> None:
    await keep_all_facts(two)
    await select(two, "INSERT INTO sync.church_changes (org_id) VALUES ('grace'), ('hope')")
    for table in OF_A_CHURCH:
        assert {row["org_id"] for row in await reader.fetch(f"SELECT org_id FROM sync.{table}")} == {"grace"}, table
        told = f"SELECT 1 / (length(org_id) - length(org_id)) FROM sync.{table} WHERE org_id = 'hope'"
        assert await reader.fetch(told) == [], "no error tells of a row that is not shown"
    rules = await reader.fetch("SELECT org_id FROM sync.freshness_rules")
    assert {row["org_id"] for row in rules} == {"grace", "*"}


async def test_a_reader_sees_no_content_of_the_quarantine_nor_the_rest_of_the_ledger(
    reader: asyncpg.Connection,
) -> None:
    for statement in SECRET:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.fetch(statement)
    await reader.execute("SET default_transaction_read_only = off")
    for table in (*OF_A_CHURCH, "freshness_rules"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute(f"DELETE FROM sync.{table}")
