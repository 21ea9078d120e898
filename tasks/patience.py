"""Waits for a ledger that is away: a step that only has to be written down is not lost to a restart of Postgres."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.database import Database
from pco_store.errors import StoreUnavailable
from tasks.logs import sync_logger

T = TypeVar("T")


class Patient(Protocol):
    """Who waits for a ledger."""

    @property
    def database(self) -> Database:
        """Where the ledger is."""

    @property
    def delays(self) -> Sequence[float]:
        """The seconds between the tries."""


async def patiently(
    who: Patient, step: Callable[[AsyncConnection], Awaitable[T]], *, is_one_statement: bool = False
) -> T:
    """The step in a transaction, again and again while the ledger is away, as long as a page would be tried.

    The step must be safe to repeat after a commit whose answer was lost; one that `is_one_statement` is a transaction
    by itself. Raises `StoreUnavailable` in the end.
    """
    begin = who.database.statement if is_one_statement else who.database.transaction

    async def once() -> T:
        async with begin() as connection:
            return await step(connection)

    return await while_the_ledger_is_away(who, once)


async def while_the_ledger_is_away(who: Patient, action: Callable[[], Awaitable[T]]) -> T:
    """The same for what opens its transactions itself."""
    for delay in who.delays:
        try:
            return await action()
        except StoreUnavailable as error:
            sync_logger().warning("the ledger is away, the next try is in %g s: %s", delay, error)
        await asyncio.sleep(delay)
    return await action()
