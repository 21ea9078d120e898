"""Reads and stores the connections of churches. All ages and remaining times are told by the database's clock."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.connections.sealing import TokenKeys
from pco_store.errors import ConnectedTwice

ACTIVE: Final = "active"
NEEDS_AUTHORISATION: Final = "needs_authorisation"

_READ: Final = """
    SELECT *, clock_timestamp() AS read_at,
        extract(epoch FROM access_expires_at - clock_timestamp()) AS seconds_left,
        extract(epoch FROM clock_timestamp() - refresh_issued_at) AS age_seconds
    FROM sync.connections WHERE org_id = :org_id
"""
_STORE: Final = """
    INSERT INTO sync.connections AS known (org_id, organization_id, sub, client_id, base_url, scopes, access_token_enc,
        refresh_token_enc, sealed_with, access_seconds, access_expires_at, refresh_issued_at, refreshed_by)
    VALUES (:org_id, :organization_id, :sub, :client_id, :base_url, :scopes, :access, :refresh, :sealed_with,
        :life_seconds, clock_timestamp() + make_interval(secs => :life_seconds), clock_timestamp(), :refreshed_by)
    ON CONFLICT (org_id) DO UPDATE SET organization_id = excluded.organization_id, sub = excluded.sub,
        client_id = excluded.client_id, base_url = excluded.base_url, scopes = excluded.scopes,
        access_token_enc = excluded.access_token_enc, refresh_token_enc = excluded.refresh_token_enc,
        previous_refresh_enc = NULL, sealed_with = excluded.sealed_with, access_seconds = excluded.access_seconds,
        access_expires_at = excluded.access_expires_at, refresh_issued_at = excluded.refresh_issued_at,
        version = known.version + 1, state = 'active', last_error = NULL, refreshed_by = excluded.refreshed_by,
        connected_at = now()
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredConnection:
    """A row of `sync.connections` when it was read; its tokens are still encrypted.

    `seconds_left`: until the access token expires. `age_seconds`: since the pair was issued. `read_at`: on the
    database's clock.
    """

    org_id: str
    organization_id: str
    sub: str
    client_id: str
    base_url: str
    scopes: tuple[str, ...]
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    previous: str | None = field(repr=False)
    sealed_with: str
    access_seconds: float
    seconds_left: float
    age_seconds: float
    refresh_issued_at: datetime
    read_at: datetime
    version: int
    state: str
    last_error: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionState:
    """What may be shown of a connection; `dead_because` if the church has to be connected again."""

    organization_id: str
    sub: str
    base_url: str
    scopes: tuple[str, ...]
    sealed_with: str
    dead_because: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class NewConnection:
    """A consent that was just given, with its first pair."""

    org_id: str
    organization_id: str
    sub: str
    client_id: str
    base_url: str
    scopes: Sequence[str]
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    life_seconds: float
    connected_by: str


async def find_connection(connection: AsyncConnection, org_id: str) -> StoredConnection | None:
    """A church's connection; None if it has none by OAuth."""
    found = await connection.execute(text(_READ), {"org_id": org_id})
    row = found.one_or_none()
    return None if row is None else stored_connection(row)


async def lock_connection(connection: AsyncConnection, org_id: str) -> StoredConnection | None:
    """The same, once nobody else holds it; it is ours until the transaction ends. Raises after its `lock_timeout`."""
    await connection.execute(text("SELECT FROM sync.connections WHERE org_id = :org_id FOR UPDATE"), {"org_id": org_id})
    return await find_connection(connection, org_id)


async def store_connection(connection: AsyncConnection, new: NewConnection, keys: TokenKeys) -> None:
    """Store a consent's pair; an older one of the church is replaced, and no process that renews that one can win.

    Raises `ConnectedTwice` if another `org_id` has the same organization.
    """
    other = await connection.scalar(
        text(
            "SELECT org_id FROM sync.connections "
            "WHERE base_url = :base_url AND organization_id = :organization_id AND org_id <> :org_id"
        ),
        {"base_url": new.base_url, "organization_id": new.organization_id, "org_id": new.org_id},
    )
    if other is not None:
        raise ConnectedTwice(other, new.organization_id)
    await connection.execute(
        text(_STORE),
        {
            "org_id": new.org_id,
            "organization_id": new.organization_id,
            "sub": new.sub,
            "client_id": new.client_id,
            "base_url": new.base_url,
            "scopes": list(new.scopes),
            "access": keys.seal(new.access_token),
            "refresh": keys.seal(new.refresh_token),
            "sealed_with": keys.newest,
            "life_seconds": new.life_seconds,
            "refreshed_by": new.connected_by,
        },
    )


async def forget_connection(connection: AsyncConnection, org_id: str) -> None:
    """The church is not read by OAuth any more."""
    await connection.execute(text("DELETE FROM sync.connections WHERE org_id = :org_id"), {"org_id": org_id})


async def churches_to_connect_again(connection: AsyncConnection) -> dict[str, str]:
    """The churches whose tokens are dead, and why."""
    found = await connection.execute(
        text("SELECT org_id, coalesce(last_error, '') AS reason FROM sync.connections WHERE state = :state"),
        {"state": NEEDS_AUTHORISATION},
    )
    return {row.org_id: row.reason for row in found}


async def connection_states(connection: AsyncConnection) -> dict[str, ConnectionState]:
    """How each church that is read by OAuth is connected, without its tokens."""
    found = await connection.execute(
        text(
            "SELECT org_id, organization_id, sub, base_url, scopes, sealed_with, state, last_error "
            "FROM sync.connections"
        )
    )
    return {
        row.org_id: ConnectionState(
            organization_id=row.organization_id,
            sub=row.sub,
            base_url=row.base_url,
            scopes=tuple(row.scopes),
            sealed_with=row.sealed_with,
            dead_because=(row.last_error or "its tokens are dead") if row.state == NEEDS_AUTHORISATION else None,
        )
        for row in found
    }


async def idle_connections(connection: AsyncConnection, *, idle_seconds: float, most: int) -> list[StoredConnection]:
    """Living connections whose pair is older; by chance, so that those that fail do not keep others waiting."""
    found = await connection.execute(
        text(
            _READ.partition("WHERE")[0] + "WHERE state = 'active' "
            "AND refresh_issued_at < clock_timestamp() - make_interval(secs => :idle) ORDER BY random() LIMIT :most"
        ),
        {"idle": idle_seconds, "most": most},
    )
    return [stored_connection(row) for row in found]


async def connections_of_older_keys(connection: AsyncConnection, keys: TokenKeys, *, most: int) -> list[str]:
    """Churches whose tokens are encrypted with another key than the newest one; by chance, for the same reason."""
    found = await connection.scalars(
        text("SELECT org_id FROM sync.connections WHERE sealed_with <> :newest ORDER BY random() LIMIT :most"),
        {"newest": keys.newest, "most": most},
    )
    return list(found)


async def seal_again(connection: AsyncConnection, org_id: str, keys: TokenKeys) -> None:
    """Encrypt a church's tokens with the newest key; its pair stays the same. Raises `TokenKeysWrong`.

    A renewal that is under way encrypts with it anyhow, and is not waited for.
    """
    row = (await connection.execute(text(f"{_READ} FOR UPDATE SKIP LOCKED"), {"org_id": org_id})).one_or_none()
    if row is None:
        return
    found = stored_connection(row)

    def sealed(token: str | None) -> str | None:
        return None if token is None else keys.seal(keys.open(token, sealed_with=found.sealed_with))

    await connection.execute(
        text(
            "UPDATE sync.connections SET access_token_enc = :access, refresh_token_enc = :refresh, "
            "previous_refresh_enc = :previous, sealed_with = :newest WHERE org_id = :org_id"
        ),
        {
            "org_id": org_id,
            "access": sealed(found.access),
            "refresh": sealed(found.refresh),
            "previous": sealed(found.previous),
            "newest": keys.newest,
        },
    )


def stored_connection(row: Row[Any]) -> StoredConnection:
    """A row of `_READ`."""
    return StoredConnection(
        org_id=row.org_id,
        organization_id=row.organization_id,
        sub=row.sub,
        client_id=row.client_id,
        base_url=row.base_url,
        scopes=tuple(row.scopes),
        access=row.access_token_enc,
        refresh=row.refresh_token_enc,
        previous=row.previous_refresh_enc,
        sealed_with=row.sealed_with,
        access_seconds=row.access_seconds,
        seconds_left=float(row.seconds_left),
        age_seconds=float(row.age_seconds),
        refresh_issued_at=row.refresh_issued_at,
        read_at=row.read_at,
        version=row.version,
        state=row.state,
        last_error=row.last_error,
    )
