"""Connections whose care fails every time do not keep others from it."""

import asyncio
from collections.abc import Awaitable, Callable

from cryptography.fernet import Fernet
from sqlalchemy import text

from pco_store.connections.connections import connections_of_older_keys, idle_connections, seal_again
from pco_store.connections.renewal_lock import locked_for_renewal
from pco_store.connections.sealing import TokenKeys
from pco_store.database import Database
from tests.connections.consenting import KEY, Connected

CHURCHES = ["grace", "other-1", "other-2", "other-3"]
LOOKS = 100
"""That one of four is in none of them happens once in 800,000,000,000 suites."""


async def test_each_church_of_more_than_a_turn_takes_has_its_turn(church: Connected, database: Database) -> None:
    await church.age(40 * 86400)
    newer = TokenKeys([Fernet.generate_key().decode()])
    async with database.transaction() as connection:
        await connection.execute(
            text(
                "INSERT INTO sync.connections SELECT (jsonb_populate_record(known, jsonb_build_object("
                "'org_id', 'other-' || number, 'organization_id', 'other-' || number))).* "
                "FROM sync.connections AS known, generate_series(1, 3) AS number"
            )
        )

        async def idle() -> list[str]:
            return [one.org_id for one in await idle_connections(connection, idle_seconds=86400, most=1)]

        async def of_older_key() -> list[str]:
            return await connections_of_older_keys(connection, newer, most=1)

        for turn in (idle, of_older_key):
            assert await _seen(turn) == CHURCHES


async def _seen(turn: Callable[[], Awaitable[list[str]]]) -> list[str]:
    return sorted({org_id for _ in range(LOOKS) for org_id in await turn()})


async def test_tokens_that_are_being_renewed_are_encrypted_again_at_another_time(
    church: Connected, database: Database
) -> None:
    """The token endpoint may hang, and what waits for it would keep a connection of the pool from all churches."""
    before, newer = await church.row(), TokenKeys([Fernet.generate_key().decode(), KEY])

    async def seal() -> None:
        async with asyncio.timeout(20), database.transaction() as connection:
            await seal_again(connection, church.org_id, newer)

    async with locked_for_renewal(database, church.org_id):
        await seal()
        assert (await church.row()).sealed_with == before.sealed_with
    await seal()
    row = await church.row()
    assert (row.sealed_with, row.version) == (newer.newest, before.version)
    assert newer.open(row.refresh, sealed_with=row.sealed_with)
