"""Sends the doctor's requests, each with few retries, and keeps what every answer's headers say."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from pco_catalog.catalog import Entity
from pco_client.client import FetchedPage
from pco_client.documents import Json, Page
from pco_client.rate_limit import RateReading
from pco_client.sansio import MOST_PER_PAGE, PageRequest
from tasks.pages.own_list import OwnList, read_own_list
from tasks.patient_client import PatientClient


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """The headers of one answer. `ahead`: PCO's clock against the database's; None without a date."""

    product: str
    asked_version: str
    version: str | None
    rate: RateReading
    ahead: timedelta | None


@dataclass(kw_only=True)
class Asker:
    """Asks for so many things `at_once`. `clock_offset` is the database's clock less this machine's."""

    client: PatientClient
    at_once: int
    clock_offset: timedelta = timedelta()
    heard: list[Heard] = field(default_factory=list)
    _room: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._room = asyncio.Semaphore(self.at_once)

    async def page(self, entity: Entity, path: str, *, per_page: int = MOST_PER_PAGE, **what: Any) -> Page:
        """One page of a list; `what` are other fields of a `PageRequest`. Raises the client's errors."""
        request = PageRequest(path=path, api_version=entity.api_version, per_page=per_page, **what)
        async with self._room:
            fetched = await self.client.fetch_page(request, expected_type=entity.resource)
        self._hear(entity, fetched)
        return fetched.page

    async def document(self, entity: Entity, path: str) -> Json:
        """A single record. Raises the client's errors."""
        async with self._room:
            return await self.client.fetch_document(path, api_version=entity.api_version)

    async def own_list(self, entity: Entity, path: str, owner: str) -> OwnList:
        """What PCO shows below one owner. Raises the client's errors."""
        read = partial(read_own_list, self.client.client, entity, path, owner, lane=self.client.lane)
        async with self._room:
            own = await self.client.patiently(read)
        self.client.requests += own.requests
        return own

    def _hear(self, entity: Entity, fetched: FetchedPage) -> None:
        ahead, at = None, fetched.page.answered_at
        if at is not None:
            sent, now = fetched.sent_at + self.clock_offset, datetime.now(UTC) + self.clock_offset
            # A date is cut to the second, so that it may be a second before the request was sent.
            ahead = max(at - now, timedelta()) or min(at + timedelta(seconds=1) - sent, timedelta())
        self.heard.append(
            Heard(
                product=entity.product,
                asked_version=entity.api_version,
                version=fetched.page.processed_as_version,
                rate=fetched.page.rate,
                ahead=ahead,
            )
        )
