"""What the suite lends to its tests: a database is lent again only if nobody can tell."""

import pytest

from embedded.postgres import Postgres
from tests.databases import Databases


def lent(postgres: Postgres, databases: Databases, *statements: str) -> tuple[str, str]:
    """Run the statements in a lent database: which one it is, and how many watermarks it came with."""
    with databases.one() as url:
        name = url.partition("@/")[2].partition("?")[0]
        oid, rows = postgres.psql(
            name,
            "SELECT oid || ' ' || (SELECT count(*) FROM sync.watermarks) FROM pg_database "
            "WHERE datname = current_database()",
        ).split()
        for statement in statements:
            postgres.psql(name, statement)
    return oid, rows


def test_rows_are_gone_when_it_is_lent_again(postgres: Postgres, databases: Databases) -> None:
    first, _ = lent(postgres, databases, "INSERT INTO sync.watermarks VALUES ('a', 'b', 'c', now(), 1)")
    assert lent(postgres, databases) == (first, "0")


@pytest.mark.parametrize(
    "change",
    [
        "CREATE VIEW people.told AS SELECT 1 AS one",
        "ALTER TABLE people.person ADD COLUMN told integer",
        "CREATE SCHEMA told",
        "ALTER TABLE people.person ALTER COLUMN first_name SET DEFAULT 'told'",
        "UPDATE sync.migrations SET version_num = 'told'",
        "DROP TABLE sync.migrations",
        "CREATE INDEX told ON people.person (first_name)",
        "ALTER TABLE people.person DROP COLUMN first_name CASCADE",
        "GRANT SELECT ON people.person TO PUBLIC",
        "CREATE FUNCTION told() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE VIEW people.merged_person AS SELECT * FROM people.merged_person",
    ],
)
def test_one_that_is_not_as_it_was_made_is_not_lent_again(
    postgres: Postgres, databases: Databases, change: str
) -> None:
    changed, _ = lent(postgres, databases, change)
    again, rows = lent(postgres, databases)
    assert (again != changed, rows) == (True, "0")
