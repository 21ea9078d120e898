"""What is measured, read from the ledger at most every half a minute, however many ask."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pco_store.clock import database_clock
from pco_store.database import Database
from pco_store.freshness.reading import ChurchFreshness, read_churches
from pco_store.freshness.totals import Totals, read_totals

KEPT_SECONDS: Final = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """The churches and the totals as they were `at` a moment, by the database's clock."""

    churches: Sequence[ChurchFreshness]
    totals: Totals
    at: datetime


class Readings:
    """The newest reading of one database."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` counts seconds."""
        self._database = database
        self._clock = clock
        self._kept: tuple[float, Reading] | None = None
        self._lock = asyncio.Lock()

    async def newest(self) -> tuple[Reading, datetime]:
        """A reading that is younger than `KEPT_SECONDS`, and the time now, by the database's clock.

        Those who ask at once share one. Raises the errors of the store.
        """
        async with self._lock:
            if self._kept is None or self._clock() - self._kept[0] >= KEPT_SECONDS:
                self._kept = await self._read()
            read_at, reading = self._kept
            return reading, reading.at + timedelta(seconds=self._clock() - read_at)

    async def _read(self) -> tuple[float, Reading]:
        async with self._database.transaction() as connection:
            at = await database_clock(connection)
            read_at = self._clock()
            churches, totals = await read_churches(connection), await read_totals(connection)
            return read_at, Reading(churches=churches, totals=totals, at=at)
