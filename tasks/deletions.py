"""After a complete walk: which records are gone from PCO, asked one by one before any is marked as deleted.

PCO has no feed of deletions. What a complete walk did not show may be deleted; or the credential lost a permission, or
the list leaves it out. So each missing record is asked for by its id, twice, and a record that the walk did show is
asked for before, between and after: as long as that one is answered, a 404 says something about the other.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Literal

from pco_client.errors import NotFound, SkipError
from pco_store.tombstones import MissingRecords, bury, find_missing
from tasks.lifespan import Resources
from tasks.logs import sync_logger
from tasks.patience import patiently
from tasks.retries import POISONOUS, retried, retry_delays
from tasks.sync_context import SyncContext

ManyDeletions = Literal["stop", "accept"]
"""stop: more missing records than are likely to have been deleted are left for a person to decide about."""

LIKELY_ROWS: Final = 50
LIKELY_SHARE: Final = 0.05
"""So many missing records, or this share of the table if that is more, may be deletions without anybody being asked."""

PATIENCE_WITH_ONE: Final = 2
"""Retries of a record that PCO cannot render: it is there, or the witness will tell that nothing can be read."""

Verdict = Literal["none", "confirmed", "too_many", "list_is_empty", "not_provable"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Deletions:
    """What came of the missing records. `deleted` have their tombstone now; `requests` is what asking has cost."""

    verdict: Verdict = "none"
    missing: int = 0
    deleted: int = 0
    requests: int = 0


async def find_deletions(resources: Resources, sync: SyncContext, *, many: ManyDeletions) -> Deletions:
    """Mark as deleted what is missing from a walk that is complete, and that PCO answers 404 for, twice.

    Safe to repeat. Raises the client's errors that are not about one record, `LeaseLost`, and the store's errors.
    """
    missing = await patiently(resources, lambda connection: find_missing(connection, sync.run, sync.table))
    if not missing.ids:
        return Deletions()
    if are_too_many(missing) and many == "stop":
        return Deletions(verdict="too_many", missing=len(missing.ids))
    if not missing.witnesses and many == "stop":
        return Deletions(verdict="list_is_empty", missing=len(missing.ids))
    asking = _Asking(resources, sync, witnesses=missing.witnesses)
    not_provable = Deletions(verdict="not_provable", missing=len(missing.ids))
    gone: Sequence[str] = missing.ids
    for _ in range(2):
        if not await asking.sees_a_witness():
            return replace(not_provable, requests=asking.requests)
        absent_at = datetime.now(UTC) + sync.clock_offset
        gone = await asking.absent_of(gone)
    if not await asking.sees_a_witness():
        return replace(not_provable, requests=asking.requests)
    deleted = await patiently(
        resources,
        lambda connection: bury(connection, sync.run, sync.table, gone, reason="absent", absent_at=absent_at),
    )
    return Deletions(verdict="confirmed", missing=len(missing.ids), deleted=deleted, requests=asking.requests)


def are_too_many(missing: MissingRecords) -> bool:
    """Whether so many records are missing that something else than deleting is more likely."""
    return len(missing.ids) > max(LIKELY_ROWS, LIKELY_SHARE * missing.live)


class _Asking:
    """Asks PCO for single records of a sync's list. Where there is no witness, the product itself has to do."""

    def __init__(self, resources: Resources, sync: SyncContext, *, witnesses: Sequence[str]) -> None:
        settings = resources.settings
        self._sync = sync
        self._witnesses = [f"{sync.path}/{one}" for one in witnesses] or [f"/{sync.entity.product}/v2"]
        self._delays = retry_delays(first=settings.retry_first_seconds, total=settings.retry_total_seconds)
        self._room = asyncio.Semaphore(sync.in_flight)
        self.requests = 0

    async def sees_a_witness(self) -> bool:
        """Whether PCO shows one of the records that it showed in the list. Raises what keeps it from answering."""
        for path in self._witnesses:
            if await self._sees(path):
                return True
        return False

    async def absent_of(self, ids: Sequence[str]) -> list[str]:
        """Those that PCO answers 404 for."""
        try:
            async with asyncio.TaskGroup() as group:
                asked = {one: group.create_task(self._is_absent(f"{self._sync.path}/{one}")) for one in ids}
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [one for one, task in asked.items() if task.result()]

    async def _sees(self, path: str) -> bool:
        return bool(await retried(lambda _: self._is_shown(path), delays=self._delays))

    async def _is_absent(self, path: str) -> bool:
        """Whether PCO says that there is no such record. One that it cannot render, now or ever, is not absent."""

        async def look(attempt: int) -> bool:
            try:
                return await self._is_shown(path) is False
            except POISONOUS:
                if attempt <= PATIENCE_WITH_ONE:
                    raise
                return False

        async with self._room:
            return await retried(look, delays=self._delays)

    async def _is_shown(self, path: str) -> bool | None:
        """None: PCO answers neither with the record nor that there is none."""
        self.requests += 1
        try:
            await self._sync.client.fetch_document(
                path, api_version=self._sync.entity.api_version, lane=self._sync.lane
            )
        except NotFound:
            return False
        except SkipError as error:
            sync_logger().info("whether it is deleted is not known: %s", error)
            return None
        return True
