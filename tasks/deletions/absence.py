"""Asks PCO for single records, to learn which are gone: twice, and beside witnesses that must be shown."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import compress
from typing import Final

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_client.documents import Json
from pco_client.errors import NotFound, SkipError
from pco_store.ledger.deletions.answers import read_answers, record_answers
from pco_store.ledger.runs import RunHandle
from pco_store.mirror.upsert import upsert_rows
from tasks.background import in_parallel
from tasks.lifespan import Resources
from tasks.logs import sync_logger
from tasks.patience import patiently
from tasks.patient_client import PatientClient
from tasks.retries import POISONOUS

PER_CHECKPOINT: Final = 200
"""Records that are asked for, twice, between two checkpoints."""
WITNESS_LOOKS: Final = 3
"""How often a witness is asked for with them: before, between and after."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Absent:
    """Records that are gone, and when they were last looked for, by the database's clock."""

    ids: tuple[str, ...]
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Where a run keeps what it was told; `table` is that of records that are shown and in no list."""

    resources: Resources
    run: RunHandle
    table: Table | None = None

    async def read(self) -> dict[str, datetime | None]:
        """When PCO last said that there is no such record, or None for one that it showed."""
        return await patiently(self.resources, lambda connection: read_answers(connection, self.run.run_id))

    async def record(self, asked: Sequence[str], absent: Absent, rows: Sequence[Mapping[str, object]]) -> None:
        """With the rows of those that were shown. Raises `LeaseLost`, `StoreUnavailable`."""

        async def write(connection: AsyncConnection) -> None:
            await record_answers(connection, self.run, asked, absent=absent.ids, at=absent.at)
            if self.table is not None:
                await upsert_rows(connection, self.table, rows)

        await patiently(self.resources, write)


@dataclass(kw_only=True)
class Asking:
    """Asks for the records of one list or of several. `witnesses` are paths of records that PCO has just shown.

    `is_single`: a path is not one record's, but shows the only one that an owner has, and it may be another by now.
    `row_of` makes a row of a record that is shown, and was requested then, to be stored: no list shows it.
    """

    client: PatientClient
    in_flight: int
    api_version: str
    clock_offset: timedelta
    witnesses: Sequence[str]
    is_single: bool = False
    row_of: Callable[[Json, datetime], Mapping[str, object] | None] | None = None

    def __post_init__(self) -> None:
        self._room = asyncio.Semaphore(self.in_flight)
        self._rows: dict[str, Mapping[str, object]] = {}

    async def find_absent(
        self,
        paths: Mapping[str, Sequence[str]],
        checkpoints: Checkpoints,
        *,
        then: Mapping[str, Sequence[str]] | None = None,
    ) -> list[Absent] | None:
        """Of the records by id, those that PCO answers 404 for at each of their paths, both times they are asked for.

        The second time at the paths in `then`, if those are given. They are asked for in batches, and what a batch has
        shown is written down: whoever continues does not ask again.

        None: PCO does not show a witness before, between and after, so a 404 proves nothing. Raises the errors of the
        client that are not about one record, and the store's.
        """
        known = await checkpoints.read()
        left = [one for one in paths if one not in known]
        for start in range(0, len(left), PER_CHECKPOINT):
            batch = left[start : start + PER_CHECKPOINT]
            absent = await self._ask(batch, paths, paths if then is None else then)
            if absent is None:
                return None
            await checkpoints.record(batch, absent, [self._rows[one] for one in sorted(self._rows)])
            self._rows.clear()
            known |= dict.fromkeys(batch) | dict.fromkeys(absent.ids, absent.at)
        by_time: dict[datetime, list[str]] = defaultdict(list)
        for one in paths:
            if (at := known[one]) is not None:
                by_time[at].append(one)
        return [Absent(ids=tuple(ids), at=at) for at, ids in by_time.items()]

    async def _ask(
        self, batch: Sequence[str], first: Mapping[str, Sequence[str]], then: Mapping[str, Sequence[str]]
    ) -> Absent | None:
        at = datetime.now(UTC)
        gone = list(batch)
        for asked in (first, then):
            if not await self._sees_a_witness():
                return None
            at = datetime.now(UTC) + self.clock_offset
            gone = await self._absent_of(gone, asked)
        if not await self._sees_a_witness():
            return None
        return Absent(ids=tuple(gone), at=at)

    async def _sees_a_witness(self) -> bool:
        for path in self.witnesses:
            if await self._is_shown(path):
                return True
        return False

    async def _absent_of(self, ids: Sequence[str], paths: Mapping[str, Sequence[str]]) -> list[str]:
        are_absent = await in_parallel(self._is_absent(one, paths[one]) for one in ids)
        return list(compress(ids, are_absent))

    async def _is_absent(self, one: str, paths: Sequence[str]) -> bool:
        """Whether PCO says of each path that there is no such record."""
        async with self._room:
            for path in paths:
                if not await self._is_gone_from(path, one):
                    return False
            return True

    async def _is_gone_from(self, path: str, one: str) -> bool:
        """Whether PCO says that there is no such record. One that it cannot render, now or ever, is not absent."""
        at = datetime.now(UTC) + self.clock_offset
        try:
            document = await self.client.fetch_document(path, api_version=self.api_version, is_one_record=True)
        except NotFound:
            return True
        except SkipError as error:
            sync_logger().info("whether it is deleted is not known: %s", error)
            return False
        except POISONOUS:
            return False
        is_it = str(document["data"].get("id")) == one
        if is_it and self.row_of is not None and (row := self.row_of(document["data"], at)) is not None:
            self._rows[one] = row
        return self.is_single and not is_it

    async def _is_shown(self, path: str) -> bool:
        """A witness, or whatever is there."""
        try:
            await self.client.fetch_document(path, api_version=self.api_version)
        except SkipError:
            return False
        return True
