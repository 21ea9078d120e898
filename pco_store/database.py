"""The engine, and `transaction()`: the only place that commits."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Final, Self

import asyncpg
from sqlalchemy import NullPool, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from pco_network.trouble import network_trouble
from pco_store.connecting import WITHOUT_NAMES, connect_arguments
from pco_store.database_url import parse_database_url
from pco_store.errors import (
    DatabaseAddressWrong,
    StatementRefused,
    StoreError,
    StoreInUse,
    StoreUnavailable,
    means_later,
)
from pco_store.sessions import have_own_sessions

ANY_ADDRESS: Final = "postgresql+asyncpg://"
"""For SQLAlchemy, whose own reading of addresses knows little of libpq's; asyncpg is given what ours has found."""

_STALE_PLAN = asyncpg.InvalidCachedStatementError
"""A migration changed a table under a prepared statement; it is prepared again with the next try."""


_OTHERS_STATEMENTS = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)
"""Postgres knows another's prepared statement by the name of ours, or none at all: the session is not our own."""

_REFUSED_BY_POOLER: Final = {
    "unsupported startup parameter": "the pooler does not take {name}; leave it out of PCO_SYNC_DATABASE_URL",
    "transaction blocks not allowed": (
        "the pooler pools single statements, which keeps nothing together; use session pooling or a direct connection"
    ),
    "no such database": "the pooler knows no database of this name",
    "no such user": "the pooler knows no user of this name",
}
"""A pooler gives most of its errors one code (08P01), whether they pass or not; these do not."""


class Database:
    """One Postgres, one pool. Every use of it goes through `transaction()` or `statement()`.

    `sessions` are connections outside of the pool: a sync keeps one for as long as it runs, and as many syncs as the
    pool has connections would leave none for their own transactions.

    Where a pooler lends another connection for each transaction, statements have no names and stand in transactions,
    and nothing is set for longer than one.
    """

    def __init__(self, url: str, *, pool_size: int = 10, silence_seconds: float = 60.0) -> None:
        """A transaction in which nothing is done for `silence_seconds` is ended by Postgres, and its locks with it:

        its process sleeps, and others would have to wait for it. Raises `DatabaseAddressWrong`.
        """
        address = parse_database_url(url)
        self._arguments = connect_arguments(address)
        self._limit_silence = f"idle_in_transaction_session_timeout = {int(silence_seconds * 1000)}"
        self._own_sessions: bool | None = False if address.is_pooled else None
        self._finding_out = asyncio.Lock()
        self.engine: AsyncEngine = create_async_engine(
            ANY_ADDRESS,
            pool_size=pool_size,
            max_overflow=0,
            pool_use_lifo=True,  # few connections stay warm: each of them prepares statements and looks up types anew
            pool_timeout=60,
            hide_parameters=True,
            connect_args=self._arguments,
        )
        self.sessions: AsyncEngine = create_async_engine(
            ANY_ADDRESS, poolclass=NullPool, hide_parameters=True, connect_args=self._arguments
        )
        for engine in (self.engine, self.sessions):
            event.listen(engine.sync_engine, "do_connect", self._without_names_where_shared)
        event.listen(self.engine.sync_engine, "connect", self._set_silence)

    async def has_own_sessions(self) -> bool:
        """Whether a connection keeps its session: proven once, with two connections. Raises `StoreUnavailable`."""
        with unavailable_means_retry():
            async with self._finding_out:
                if self._own_sessions is None:
                    self._own_sessions = await have_own_sessions(
                        partial(asyncpg.connect, **self._arguments, statement_cache_size=0)
                    )
        return self._own_sessions

    async def share_sessions(self) -> None:
        """Somebody has seen that a session is not our own, whatever was proven: nothing relies on one from now on."""
        if self._own_sessions is not False:
            self._own_sessions = False
            await self.engine.dispose()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits at the end of the block and rolls back on any exception.

        Raises `StoreUnavailable` when the database is away, at any point of it. If that happens while committing, the
        commit may have gone through: callers make their statements safe to repeat. Raises `StatementRefused`.
        """
        is_own = await self.has_own_sessions()
        async with self._noticing_others():
            async with self.engine.begin() as connection:
                if not is_own:
                    await connection.execute(text(f"SET LOCAL {self._limit_silence}"))
                yield connection

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[AsyncConnection]:
        """A connection for one statement that is a transaction by itself. Raises as `transaction()` does."""
        if not await self.has_own_sessions():
            async with self.transaction() as connection:
                yield connection
            return
        async with self._noticing_others():
            async with self.engine.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                yield connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self.engine.dispose()
        await self.sessions.dispose()

    @asynccontextmanager
    async def _noticing_others(self) -> AsyncIterator[None]:
        """A pooler that was not recognized shows itself here, and the next try does without names."""
        with unavailable_means_retry():
            try:
                yield
            except DBAPIError as error:
                if error.orig is None or not isinstance(error.orig.__cause__, _OTHERS_STATEMENTS):
                    raise
                await self.share_sessions()
                raise StoreUnavailable("the connection is shared with others (a transaction pooler)") from None

    def _without_names_where_shared(self, _: object, __: object, ___: object, arguments: dict[str, Any]) -> None:
        if self._own_sessions is False:
            arguments.update(WITHOUT_NAMES)

    def _set_silence(self, connection: DBAPIConnection, _: object) -> None:
        """Not among the settings a connection begins with: a proxy that pools connections refuses some of those."""
        if self._own_sessions is False:
            return
        cursor = connection.cursor()
        cursor.execute(f"SET {self._limit_silence}")
        cursor.close()
        connection.commit()


async def end_session(session: AsyncConnection) -> None:
    """Close a connection of `Database.sessions` for good, with the locks of its session. Raises `StoreUnavailable`."""
    with unavailable_means_retry():
        await session.invalidate()
        await session.close()


@contextmanager
def unavailable_means_retry() -> Iterator[None]:
    """Tell 'the database is away' from 'the statement is wrong'; never repeats a statement's values."""
    try:
        yield
    except (OSError, PoolTimeoutError) as error:
        raise _not_reached(error) from None
    except DBAPIError as error:
        cause = error.orig.__cause__ if error.orig is not None else None
        _refuse_what_lasts(cause)
        if error.connection_invalidated or isinstance(error, InterfaceError | OperationalError):
            raise _unavailable(cause or error) from None
        raise (_unavailable(cause) if _is_over_later(cause) else _refused(cause or error)) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        _refuse_what_lasts(error)
        raise (_unavailable(error) if _is_over_later(error) else _refused(error)) from None


def _is_over_later(cause: BaseException | None) -> bool:
    """The client's internal error is what is left of a connection that was lost at an odd moment."""
    if isinstance(cause, asyncpg.InterfaceError | asyncpg.InternalClientError | _STALE_PLAN):
        return True
    return isinstance(cause, asyncpg.PostgresError) and means_later(cause.sqlstate)


def _unavailable(cause: BaseException | None) -> StoreUnavailable:
    """Names what Postgres calls it; a connection that ended has no such name.

    While a standby takes over, servers answer and none of them can be written to.
    """
    if isinstance(cause, asyncpg.TargetServerAttributeNotMatched):
        return StoreUnavailable("no server of PCO_SYNC_DATABASE_URL is as its target_session_attrs demands, now")
    sqlstate = cause.sqlstate if isinstance(cause, asyncpg.PostgresError) else None
    told = f"{type(cause).__name__}, SQLSTATE {sqlstate}" if sqlstate else type(cause).__name__
    if sqlstate is None or sqlstate[:2] in ("08", "57"):
        return StoreUnavailable(f"the database went away ({told})")
    if isinstance(cause, asyncpg.LockNotAvailableError):
        return StoreInUse(f"another session holds a lock that this one needs ({told})")
    return StoreUnavailable(f"the database cannot do it now ({told})")


def _not_reached(error: Exception) -> StoreError:
    """Why no connection came about, in words; a certificate that is not believed now will not be believed later."""
    if "rejected SSL upgrade" in str(error):
        return DatabaseAddressWrong(
            "the database does not offer TLS, which PCO_SYNC_DATABASE_URL demands (sslmode); is it the right server?"
        )
    trouble = network_trouble(error)
    if trouble is None:
        return StoreUnavailable(f"the database cannot be reached ({type(error).__name__})")
    if not trouble.is_lasting:
        return StoreUnavailable(f"the database cannot be reached: {trouble.words} ({type(error).__name__})")
    words = trouble.words.replace("set SSL_CERT_FILE to", "name with sslrootcert in PCO_SYNC_DATABASE_URL")
    return DatabaseAddressWrong(f"the database cannot be reached: {words} ({type(error).__name__})")


def _refuse_what_lasts(cause: BaseException | None) -> None:
    """Raise what no waiting changes, although its class is that of a database that is away."""
    if isinstance(cause, asyncpg.ClientConfigurationError):
        raise DatabaseAddressWrong(f"PCO_SYNC_DATABASE_URL cannot be used: {cause}")
    if isinstance(cause, asyncpg.PostgresConnectionError):
        said = str(cause.args[0]) if cause.args else ""
        for beginning, words in _REFUSED_BY_POOLER.items():
            if beginning in said:
                name = said.rpartition(":")[2].strip()
                raise DatabaseAddressWrong(words.format(name=name if name.isidentifier() else "a parameter"))


def _refused(cause: BaseException) -> StatementRefused:
    """Postgres's own words where they hold names only; data errors and details quote the value they are about."""
    quotes_no_value = isinstance(cause, asyncpg.PostgresError) and not isinstance(cause, asyncpg.DataError)
    words = f": {cause.args[0]}" if quotes_no_value and cause.args else ""
    return StatementRefused(f"the database refused{words} ({type(cause).__name__})")
