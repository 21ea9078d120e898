"""Migrated databases for tests, each under a name of its own. One that comes back as it was made is used again.

A copy is more than a thousand files and two checkpoints; the suite would spend minutes on one for each test.
"""

import itertools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from embedded.postgres import Postgres

_OURS = "nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
_EMPTY = f"""
DO $$
DECLARE filled text;
BEGIN
    SELECT string_agg(c.oid::regclass::text, ', ') INTO filled
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE relkind = 'r' AND {_OURS} AND c.oid <> 'sync.migrations'::regclass AND pg_relation_size(c.oid) > 0;
    IF filled IS NOT NULL THEN EXECUTE 'TRUNCATE ' || filled || ' CASCADE'; END IF;
    PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence;
END $$
"""
_SCHEMA = f"""
SELECT md5(string_agg(one, ',' ORDER BY one)) FROM (
    SELECT nspname || coalesce(nspacl::text, '') AS one FROM pg_namespace
    UNION ALL SELECT nspname || c::text FROM (
        SELECT relnamespace, relname, relkind, relacl, attname, atttypid, attnotnull, atthasdef
        FROM pg_class LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 WHERE relkind <> 't'
    ) AS c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OURS}
    UNION ALL SELECT pg_get_constraintdef(oid) || conname FROM pg_constraint
    UNION ALL SELECT ev_action::text FROM pg_rewrite JOIN pg_class c ON c.oid = ev_class
        JOIN pg_namespace n ON n.oid = relnamespace WHERE {_OURS}
    UNION ALL SELECT proname || prosrc FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace WHERE {_OURS}
    UNION ALL SELECT tgname FROM pg_trigger
    UNION ALL SELECT setconfig::text FROM pg_db_role_setting
        WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL SELECT migrations::text FROM sync.migrations
) AS everything
"""


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
        number = next(self._numbers)
        name = f"t{number}"
        if self._spare:
            self._run(f"ALTER DATABASE {self._spare.pop()} RENAME TO {name}")
        else:
            self._run(f"CREATE DATABASE {name} TEMPLATE {self._template} STRATEGY FILE_COPY")
        yield self._postgres.url(name)
        if self._take_back(name, f"spare{number}"):
            self._spare.append(f"spare{number}")
        else:
            self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            self._run(f"DROP DATABASE IF EXISTS spare{number} WITH (FORCE)")

    def _take_back(self, name: str, spare: str) -> bool:
        """Whether it is empty again and otherwise as it was made."""
        try:
            self._run(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'")
            self._run(f"ALTER DATABASE {name} RENAME TO {spare}")
            if self._postgres.psql(spare, _SCHEMA) != self._schema:
                return False
            self._postgres.psql(spare, _EMPTY)
        except subprocess.CalledProcessError:  # somebody was back too soon, or a table of ours is gone
            return False
        return True

    def _run(self, statement: str) -> None:
        self._postgres.psql("postgres", statement)
