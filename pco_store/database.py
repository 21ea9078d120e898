"""The engine, and `transaction()`: the only place that commits."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import asyncpg
from sqlalchemy import NullPool, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from pco_store.errors import StatementRefused, StoreUnavailable

_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
    asyncpg.CannotConnectNowError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.InterfaceError,
)


class Database:
    """One Postgres, one pool. Every use of it goes through `transaction()` or `dedicated()`.

    `sessions` are connections outside of the pool: a sync keeps one for as long as it runs, and as many syncs as the
    pool has connections would leave none for their own transactions.
    """

    def __init__(self, url: str, *, pool_size: int = 10, silence_seconds: float = 60.0) -> None:
        """A transaction in which nothing is done for `silence_seconds` is ended by Postgres, and its locks with it:

        its process sleeps, and others would have to wait for it.
        """
        parsed = make_url(url).set(drivername="postgresql+asyncpg")
        connect_args = {
            "timeout": 20,
            "server_settings": {"application_name": "pco-sync"},
            "max_cacheable_statement_size": 0,  # an upsert of many columns is long, and slow to plan
        }
        self.engine: AsyncEngine = create_async_engine(
            parsed,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=60,
            hide_parameters=True,
            connect_args=connect_args,
        )
        event.listen(self.engine.sync_engine, "connect", partial(_limit_silence, seconds=silence_seconds))
        self.sessions: AsyncEngine = create_async_engine(
            parsed, poolclass=NullPool, hide_parameters=True, connect_args=connect_args
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits at the end of the block and rolls back on any exception.

        Raises `StoreUnavailable` when the database is away, at any point of it. If that happens while committing, the
        commit may have gone through: callers make their statements safe to repeat. Raises `StatementRefused`.
        """
        with unavailable_means_retry():
            async with self.engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[AsyncConnection]:
        """A connection for one statement that is a transaction by itself. Raises as `transaction()` does."""
        with unavailable_means_retry():
            async with self.engine.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                yield connection

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[AsyncConnection]:
        """A connection of its own in autocommit, for session locks. Raises `StoreUnavailable`."""
        with unavailable_means_retry():
            async with self.sessions.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                yield connection

    async def aclose(self) -> None:
        """Close all connections."""
        await self.engine.dispose()
        await self.sessions.dispose()


def _limit_silence(connection: DBAPIConnection, _: object, *, seconds: float) -> None:
    """Not among the settings a connection begins with: a proxy that pools connections refuses some of those."""
    cursor = connection.cursor()
    cursor.execute(f"SET idle_in_transaction_session_timeout = {int(seconds * 1000)}")
    cursor.close()
    connection.commit()


@contextmanager
def unavailable_means_retry() -> Iterator[None]:
    """Tell 'the database is away' from 'the statement is wrong'; never repeats a statement's values."""
    try:
        yield
    except (OSError, PoolTimeoutError) as error:
        raise StoreUnavailable(f"the database cannot be reached ({type(error).__name__})") from None
    except DBAPIError as error:
        cause = error.orig.__cause__ if error.orig is not None else None
        if error.connection_invalidated or isinstance(error, InterfaceError | OperationalError):
            raise StoreUnavailable(f"the database went away ({type(cause or error).__name__})") from None
        if isinstance(cause, _AWAY):
            raise StoreUnavailable(f"the database went away ({type(cause).__name__})") from None
        raise _refused(cause or error) from None
    except _AWAY as error:
        raise StoreUnavailable(f"the database went away ({type(error).__name__})") from None
    except asyncpg.PostgresError as error:
        raise _refused(error) from None


def _refused(cause: BaseException) -> StatementRefused:
    """Postgres's own words where they hold names only; data errors and details quote the value they are about."""
    quotes_no_value = isinstance(cause, asyncpg.PostgresError) and not isinstance(cause, asyncpg.DataError)
    words = f": {cause.args[0]}" if quotes_no_value and cause.args else ""
    return StatementRefused(f"the database refused{words} ({type(cause).__name__})")
