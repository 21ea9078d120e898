"""Every statement of a sync that touches mirrored rows names the church: no plan can ever read another one's."""

import re
from collections.abc import Iterator

import asyncpg
import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from pco_store.mirror.tables import all_mirror_tables
from tests.church import Church

TABLES = {f"{one.schema}.{one.name}" for one in all_mirror_tables()}
NAMED = re.compile(r'"?(\w+)"?\s*\.\s*"?(\w+)"?')


def unbound(statement: str) -> set[str]:
    """The mirror's tables that a statement touches without a word of the church."""
    if "org_id" in statement:
        return set()
    return {name for one in NAMED.findall(statement) if (name := ".".join(one)) in TABLES}


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """What is sent to Postgres from here on, by any connection of this process."""
    sent: list[str] = []

    def listen(connection: object, _: object) -> None:
        driver = getattr(connection, "driver_connection", None)
        assert isinstance(driver, asyncpg.Connection)
        driver.add_query_logger(lambda logged: sent.append(logged.query))

    event.listen(Pool, "connect", listen)
    yield sent
    event.remove(Pool, "connect", listen)


def test_a_sync_a_delta_and_a_fan_out_ask_for_rows_of_their_church_only(church: Church, statements: list[str]) -> None:
    church.sync()
    church.sync(mode="delta")
    church.sync("people.FieldDatum")
    church.sync("groups.Group")
    touched = {name for one in statements for pair in NAMED.findall(one) if (name := ".".join(pair)) in TABLES}
    assert {"people.person", "groups.group"} <= touched
    assert {one: tables for one in statements if (tables := unbound(one))} == {}


def test_a_statement_that_does_not_name_the_church_would_be_seen() -> None:
    assert unbound('SELECT count(*) FROM "people"."person"') == {"people.person"}
    assert unbound("SELECT 1 FROM people.person WHERE org_id = $1") == set()
