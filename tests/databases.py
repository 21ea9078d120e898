"""Migrated databases for tests, each under a name of its own. One that comes back as it was made is used again.

A copy is more than a thousand files and two checkpoints; the suite would spend minutes on one for each test.
"""

import itertools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from embedded.postgres import Postgres
from pco_store.database import Database

_OURS = "nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
_MADE_ONCE = ("pg_attribute", "pg_attrdef", "pg_constraint", "pg_rewrite", "pg_proc", "pg_trigger")
"""Catalogues of which a row is written when something is made or changed, and never by emptying a table."""
_WRITTEN = " ".join(
    f"UNION ALL SELECT concat('{one}', count(*), '/', sum(xmin::text::bigint)) FROM {one}" for one in _MADE_ONCE
)
_SCHEMA = f"""
SELECT md5(string_agg(one, ',' ORDER BY one)) FROM (
    SELECT concat_ws(',', nspname, nspacl, relname, relkind, relacl) AS one
    FROM pg_namespace n LEFT JOIN pg_class ON relnamespace = n.oid AND relkind <> 't' WHERE {_OURS}
    {_WRITTEN}
    UNION ALL SELECT setconfig::text FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL SELECT migrations::text FROM sync.migrations
) AS everything
"""
_EMPTY = """
DO $$
DECLARE filled text;
BEGIN
    IF ({schema}) <> '{expected}' THEN RAISE EXCEPTION 'it is not as it was made'; END IF;
    SELECT string_agg(c.oid::regclass::text, ', ') INTO filled
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE relkind = 'r' AND {ours} AND c.oid <> 'sync.migrations'::regclass AND pg_relation_size(c.oid) > 0;
    IF filled IS NOT NULL THEN EXECUTE 'TRUNCATE ' || filled || ' CASCADE'; END IF;
    PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence;
END $$
"""


def opened(url: str) -> Database:
    """A database of the suite's own server, which is known to be no pooler: to prove it takes two more connections."""
    database = Database(url, pool_size=5)
    database._own_sessions = True
    return database


class Databases:
    """Copies of the database `template`."""

    def __init__(self, postgres: Postgres, template: str) -> None:
        self._postgres = postgres
        self._template = template
        self._schema = postgres.psql(template, _SCHEMA)
        self._numbers = itertools.count(1)
        self._spare: list[str] = []

    @contextmanager
    def one(self) -> Iterator[str]:
        """The address of an empty one; afterwards nobody can reach it under this name any more."""
        name = self._spare.pop() if self._spare else self._copied()
        yield self._postgres.url(name)
        spare = self._unused()
        if self._take_back(name, spare):
            self._spare.append(spare)
        else:
            self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            self._run(f"DROP DATABASE IF EXISTS {spare} WITH (FORCE)")

    def _copied(self) -> str:
        name = self._unused()
        self._run(f"CREATE DATABASE {name} TEMPLATE {self._template} STRATEGY FILE_COPY")
        return name

    def _unused(self) -> str:
        return f"t{next(self._numbers)}"

    def _take_back(self, name: str, spare: str) -> bool:
        """Whether it is empty again and otherwise as it was made."""
        try:
            self._run(
                f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'; "
                f"ALTER DATABASE {name} RENAME TO {spare}"
            )
            self._postgres.psql(spare, _EMPTY.format(schema=_SCHEMA, expected=self._schema, ours=_OURS))
        except subprocess.CalledProcessError:  # somebody was back too soon, or it is not as it was made
            return False
        return True

    def _run(self, statement: str) -> None:
        self._postgres.psql("postgres", statement)
