"""Writes the comments that a database lacks, or has in other words; `migrate` calls it when the tables are there."""

import asyncio
import json
import time
from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import dialect

from pco_catalog.catalog import load_catalog
from pco_store.ahead import LOCK_MILLISECONDS, ONE_AT_A_TIME, PAUSE_SECONDS
from pco_store.comments.mirror import mirror_comments
from pco_store.database import Database

PATIENCE_SECONDS: Final = 5.0
"""For tables that are being vacuumed, indexed or changed; words are not worth a longer wait."""

Comments = Mapping[str, Mapping[str, str]]
"""By schema.relation and column; '' stands for the table or view itself."""

_QUOTE = dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]

_FOUND: Final = """
    SELECT n.nspname || '.' || c.relname AS relation, c.relkind = 'v' AS is_view, named.name, told.description
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (SELECT 0 AS number, '' AS name UNION ALL
                        SELECT attnum, attname FROM pg_attribute
                        WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS named
    LEFT JOIN pg_description AS told
        ON told.classoid = 'pg_class'::regclass AND told.objoid = c.oid AND told.objsubid = named.number
    WHERE c.relkind IN ('r', 'v') AND n.nspname = ANY(CAST(:schemas AS text[]))
"""


@lru_cache(maxsize=1)
def all_comments() -> Comments:
    """The words for every table and view of ours."""
    told: Comments = json.loads(resources.files(__package__).joinpath("words.json").read_text(encoding="utf-8"))
    everywhere = told[""]
    return {
        **mirror_comments(load_catalog()),
        **{
            relation: {column: word or everywhere[column] for column, word in words.items()}
            for relation, words in told.items()
            if relation
        },
    }


async def publish_comments(database: Database) -> None:
    """Bring the comments to today's words. Safe to interrupt and to repeat; if nothing differs, nothing is written.

    Neither readers nor writers wait for it. A table that is vacuumed or changed for longer than our patience is left to
    the next time. Raises `StoreUnavailable`, and `StatementRefused` for who does not own the tables.
    """
    patience_until = time.monotonic() + PATIENCE_SECONDS
    while lacking := await _lacking_schemas(database):
        for schema in lacking:
            async with database.transaction() as connection:
                await connection.execute(text(ONE_AT_A_TIME))
                if statement := await connection.run_sync(_statement, schema):
                    await connection.exec_driver_sql(statement)
        if time.monotonic() > patience_until:
            return
        await asyncio.sleep(PAUSE_SECONDS)


async def _lacking_schemas(database: Database) -> list[str]:
    schemas = {relation.partition(".")[0] for relation in all_comments()}
    async with database.transaction() as connection:
        lacking = await connection.run_sync(_lacking, *schemas)
    return sorted({relation.partition(".")[0] for relation in lacking})


def _lacking(connection: Connection, *schemas: str) -> dict[str, list[str]]:
    """The statements that are needed, by relation."""
    wanted = all_comments()
    needed: dict[str, list[str]] = {}
    for row in connection.execute(text(_FOUND), {"schemas": list(schemas)}):
        word = wanted.get(row.relation, {}).get(row.name)
        if word is not None and word != row.description:
            needed.setdefault(row.relation, []).append(_comment(row.relation, row.name, word, is_view=row.is_view))
    return needed


def _comment(relation: str, column: str, word: str, *, is_view: bool) -> str:
    name = ".".join(map(_QUOTE, relation.split(".")))
    what = f"COLUMN {name}.{_QUOTE(column)}" if column else f"{'VIEW' if is_view else 'TABLE'} {name}"
    quoted = word.replace("'", "''")
    return f"COMMENT ON {what} IS '{quoted}'"


def _statement(connection: Connection, schema: str) -> str:
    """What writes all that a schema lacks, but for tables that are in use: one way to the server and back."""
    blocks = [
        f"BEGIN {'; '.join(comments)}; EXCEPTION WHEN lock_not_available THEN NULL; END;"
        for comments in _lacking(connection, schema).values()
    ]
    if not blocks:
        return ""
    return f"DO $do$ BEGIN SET LOCAL lock_timeout = '{LOCK_MILLISECONDS}ms'; {' '.join(blocks)} END $do$"
