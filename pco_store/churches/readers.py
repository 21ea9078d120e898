"""Roles that may read the mirror of one church and how current it is, and nothing else.

Postgres knows a reader by its login: a table that only its owner may change says which church it reads, so that nothing
a reader can set is asked. The policies are for readers only. The tables' owner, which is who syncs, does not even see
them in its plans; other roles go on as they were granted.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import load_catalog
from pco_store.ahead import make_unless_in_use
from pco_store.churches.wall import refuse_removed
from pco_store.database import Database

READERS: Final = "pco_sync_readers"
"""The role that all readers are members of; it cannot log in."""
STATEMENT_SECONDS: Final = 300
"""For a statement, and for a transaction in which nothing happens: it keeps tables from being altered and cleaned."""
CONNECTIONS: Final = 20
ITERATIONS: Final = 4096
"""Postgres' own; the password is random, so that more of them protect nothing."""

_MAPPING: Final = "sync.readers"
_OWN_CHURCH: Final = f"org_id = (SELECT org_id FROM {_MAPPING} WHERE role_name = current_user)"  # noqa: S608 - own names
_OWN_ROW: Final = "role_name = current_user"
_OWN_OR_GENERAL: Final = f"(org_id = '*' OR {_OWN_CHURCH})"
_LEDGER: Final[Mapping[str, Sequence[str]]] = {
    "sync.runs": (
        "run_id", "org_id", "entity", "scope", "epoch", "key", "turn", "state", "mode", "error", "started_at",
        "window_until", "parent_run_id", "read_with", "fan_out", "plan", "parts", "deletions",
    ),
    "sync.watermarks": ("org_id", "entity", "scope", "watermark"),
    "sync.lists": ("org_id", "path", "last_read_at", "due_at", "is_refused"),
    "sync.list_traits": ("org_id", "entity", "distrusted"),
    "sync.quarantine": ("org_id", "entity", "run_id", "resolved_at"),
    "sync.table_facts": (),
    "sync.kept_churches": ("org_id",),
    "sync.church_changes": ("org_id",),
    "sync.freshness_rules": (),
}  # fmt: skip
"""What `sync.freshness` is made from, and of which columns; all of them where none are named."""
_FRESHNESS: Final = ("sync.freshness", "sync.live_facts", "sync.unkept_churches", "sync.kinds")
_WALL: Final = f"""
    ALTER TABLE {{table}} ENABLE ROW LEVEL SECURITY;
    DROP POLICY IF EXISTS everybody ON {{table}};
    DROP POLICY IF EXISTS readers ON {{table}};
    CREATE POLICY everybody ON {{table}} USING (true) WITH CHECK (true);
    CREATE POLICY readers ON {{table}} AS RESTRICTIVE TO {READERS} USING ({{condition}});
    GRANT SELECT {{columns}} ON {{table}} TO {READERS}
"""
"""The first policy leaves other roles as they were. The second is evaluated once for each query, not for each row."""
_GROUP_IS_THERE: Final = f"SELECT true FROM pg_roles WHERE rolname = '{READERS}'"  # noqa: S608 - own name
_UNWALLED: Final = f"""
    SELECT format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND (n.nspname = ANY(CAST(:schemas AS text[])) OR c.oid = '{_MAPPING}'::regclass
                                       OR n.nspname || '.' || c.relname = ANY(CAST(:ledger AS text[])))
      AND NOT (c.relrowsecurity AND has_any_column_privilege('{READERS}', c.oid, 'SELECT') AND 2 = (
            SELECT count(*) FROM pg_policy WHERE polrelid = c.oid AND polname IN ('everybody', 'readers')))
    ORDER BY c.oid <> '{_MAPPING}'::regclass, 1
"""  # noqa: S608 - own constants
_VIEWS: Final = """
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'v' AND n.nspname = ANY(CAST(:schemas AS text[])) AND 'security_invoker=true' = ANY(c.reloptions)
"""
"""Somebody's own view that runs with its owner's rights is for its maker to grant."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """A login that was just made; its password is shown once and kept nowhere."""

    role_name: str
    password: str = field(repr=False)


async def make_reader(database: Database, org_id: str) -> Reader:
    """A role that reads this church; the one that is there already gets another password.

    The first one of a database closes its tables for readers, one after the other. Safe to interrupt and to repeat.
    Raises `StatementRefused` if our role may not make roles, `ChurchRemoved`, and `StoreUnavailable`.
    """
    async with database.transaction() as connection:
        await refuse_removed(connection, org_id)
        if not await connection.scalar(text(_GROUP_IS_THERE)):
            await connection.execute(text(f"CREATE ROLE {READERS} NOLOGIN"))
    await _wall_off(database)
    password = secrets.token_urlsafe(24)
    async with database.transaction() as connection:
        await refuse_removed(connection, org_id)
        name = await connection.scalar(
            text("SELECT left('reader_' || :org_id, 50) || '_' || left(md5(current_database() || '/' || :org_id), 8)"),
            {"org_id": org_id},
        )
        is_there = await connection.scalar(text("SELECT true FROM pg_roles WHERE rolname = :name"), {"name": name})
        await connection.execute(
            text(
                "INSERT INTO sync.readers (role_name, org_id) VALUES (:name, :org_id) "
                "ON CONFLICT (role_name) DO UPDATE SET org_id = excluded.org_id"
            ),
            {"name": name, "org_id": org_id},
        )
        verb = "ALTER" if is_there else "CREATE"
        for statement in (
            f'{verb} ROLE "{name}" LOGIN NOCREATEDB NOCREATEROLE CONNECTION LIMIT {CONNECTIONS} '
            f"PASSWORD '{_verifier(password)}'",
            f'GRANT {READERS} TO "{name}"',
            f'ALTER ROLE "{name}" SET default_transaction_read_only = on',
            f"ALTER ROLE \"{name}\" SET statement_timeout = '{STATEMENT_SECONDS}s'",
            f"ALTER ROLE \"{name}\" SET idle_in_transaction_session_timeout = '{STATEMENT_SECONDS}s'",
        ):
            await connection.exec_driver_sql(statement)
    return Reader(role_name=str(name), password=password)


async def wall_off(database: Database) -> None:
    """Close every table that readers see for those of other churches, if there are any readers. Safe to repeat.

    A table is granted to readers in the transaction that closes it, and never before. Raises `StoreUnavailable` if one
    is in use all the time.
    """
    async with database.transaction() as connection:
        if not await has_readers(connection):
            return
    await _wall_off(database)


async def has_readers(connection: AsyncConnection) -> bool:
    """Whether a reader was ever made in this database."""
    is_mapped = await connection.scalar(
        text("SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass('sync.readers')")
    )
    return bool(is_mapped) and bool(await connection.scalar(text(_GROUP_IS_THERE)))


async def current_database(connection: AsyncConnection) -> str:
    """The name of the database that readers log in to."""
    return str(await connection.scalar(text("SELECT current_database()")))


async def readers_of(connection: AsyncConnection, org_id: str) -> list[str]:
    """The roles that read this church."""
    found = await connection.scalars(
        text("SELECT role_name FROM sync.readers WHERE org_id = :org_id ORDER BY 1"), {"org_id": org_id}
    )
    return list(found)


async def drop_readers(database: Database, org_id: str) -> list[str]:
    """Drop them; who is logged in sees nothing any more. Safe to repeat.

    Raises `StatementRefused` if somebody has granted one of them more than we did.
    """
    async with database.transaction() as connection:
        names = await readers_of(connection, org_id)
        for name in names:
            await connection.exec_driver_sql(f'DROP ROLE IF EXISTS "{name}"')
        await connection.execute(text("DELETE FROM sync.readers WHERE org_id = :org_id"), {"org_id": org_id})
    return names


async def _wall_off(database: Database) -> None:
    schemas = sorted({one.schema_name for one in load_catalog().entities()})
    closed = {"schemas": schemas, "ledger": list(_LEDGER)}
    async with database.transaction() as connection:
        unwalled = (await connection.scalars(text(_UNWALLED), closed)).all()
    for table in unwalled:
        await make_unless_in_use(
            database,
            _WALL.format(table=table, condition=_condition(table), columns=_columns(table)),
            partial(_is_walled, closed=closed, table=table),
            trouble=f"{table} is in use all the time, so that it cannot be closed for readers of other churches",
        )
    async with database.transaction() as connection:
        await connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA sync, {', '.join(schemas)} TO {READERS}")
        views = (await connection.scalars(text(_VIEWS), {"schemas": schemas})).all()
        await connection.exec_driver_sql(f"GRANT SELECT ON {', '.join([*_FRESHNESS, *views])} TO {READERS}")
        for table in _LEDGER:
            await connection.exec_driver_sql(f"GRANT SELECT {_columns(table)} ON {table} TO {READERS}")


def _condition(table: str) -> str:
    return {_MAPPING: _OWN_ROW, "sync.freshness_rules": _OWN_OR_GENERAL}.get(table, _OWN_CHURCH)


def _columns(table: str) -> str:
    names = _LEDGER.get(table, ())
    return f"({', '.join(names)})" if names else ""


def _is_walled(connection: Connection, *, closed: Mapping[str, Sequence[str]], table: str) -> bool:
    return table not in connection.scalars(text(_UNWALLED), closed).all()


def _verifier(password: str) -> str:
    """What Postgres keeps of a password (SCRAM-SHA-256, RFC 5803), so that the password is in no log of the server."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = (base64.b64encode(one).decode() for one in (salt, stored, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(ITERATIONS, *parts)
