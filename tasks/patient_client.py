"""Requests of Planning Center that are tried again by the table of `tasks.retries`, and what they have cost."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pco_client.client import FetchedPage, PcoClient
from pco_client.documents import Json
from pco_client.errors import PcoError
from pco_client.sansio import PageRequest
from tasks.retries import retried

T = TypeVar("T")


@dataclass(kw_only=True)
class PatientClient:
    """For what is requested beside the pages of a list, which are tried again as a whole.

    `delays` are the waits in seconds between the tries, of which none begins later than `within` seconds; `lane` is the
    share of the rate budget that is used. `requests` counts what was requested, those that failed too. The methods
    raise the last error of the client.
    """

    client: PcoClient
    delays: Sequence[float]
    lane: str
    within: float | None = None
    requests: int = 0

    async def fetch_page(self, request: PageRequest, *, expected_type: str) -> FetchedPage:
        """One page of a list."""
        fetched = await self.patiently(
            partial(self.client.fetch_page, request, expected_type=expected_type, lane=self.lane)
        )
        self.requests += fetched.requests
        return fetched

    async def fetch_document(self, path: str, *, api_version: str, is_one_record: bool = False) -> Json:
        """A single record or a product. `is_one_record`: if PCO cannot render it, that is soon believed."""
        ask = partial(self.client.fetch_document, path, api_version=api_version, lane=self.lane)
        document = await self.patiently(ask, is_one_record=is_one_record)
        self.requests += 1
        return document

    async def patiently(self, ask: Callable[[], Awaitable[T]], *, is_one_record: bool = False) -> T:
        """What `ask` gives, whose own requests the caller counts; each error counts as one."""

        async def counted(_: int) -> T:
            try:
                return await ask()
            except PcoError:
                self.requests += 1
                raise

        return await retried(counted, delays=self.delays, is_one_record=is_one_record, within=self.within)
