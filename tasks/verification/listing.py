"""What Planning Center shows while it is verified: pages of a list, lists of single owners, records one by one."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final
from urllib.parse import quote

from pco_catalog.catalog import Entity
from pco_client.client import PcoClient
from pco_client.documents import Json, Page
from pco_client.errors import (
    BadRequest,
    NotFound,
    ServerFault,
    SkipError,
    UndecodableAnswer,
    UnexpectedDocument,
)
from pco_client.rate_limit import DEEP_OFFSET
from pco_client.sansio import PageRequest
from pco_walks.window import WHOLE, Window
from tasks.background import in_parallel
from tasks.lifespan import Resources
from tasks.pages.own_list import read_own_list
from tasks.patient_client import PatientClient
from tasks.rows.transform import raw_text, transform_page
from tasks.verification.comparison import Shown

PAGE: Final = 100


class UnclearError(Exception):
    """Planning Center neither shows a record nor says that there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedPage:
    """One answer of the list.

    `keys` name its records in their order: by id, and those that cannot be stored by place and content; the latter are
    the `rejected`. `is_inside`: PCO filtered as it was asked to, as far as the answer shows.
    """

    offset: int
    records: tuple[Shown, ...]
    keys: tuple[str, ...]
    rejected: tuple[str, ...]
    total: int | None
    next_offset: int | None
    is_inside: bool

    @property
    def ids(self) -> list[str]:
        """The ids of the records that can be stored, in their order."""
        return [one.id for one in self.records]

    @property
    def contradicts_its_count(self) -> bool:
        """The list goes on beyond its count, or ends before it."""
        if self.total is None:
            return False
        end = self.offset + len(self.keys)
        if not self.keys:
            return self.offset < self.total
        return end > self.total or (self.next_offset is None) != (end == self.total)


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnersRecords:
    """The list of one owner. The `rejected` records cannot be stored; they are named as on a page."""

    records: tuple[Shown, ...]
    rejected: frozenset[str]


@dataclass(kw_only=True)
class Listing:
    """The records of one kind of one church. The methods raise the client's errors."""

    client: PatientClient
    in_flight: int
    entity: Entity
    org_id: str

    @property
    def requests(self) -> int:
        """What they have cost."""
        return self.client.requests

    async def page(
        self, offset: int = 0, *, window: Window = WHOLE, per_page: int = PAGE, order: str | None = None
    ) -> ListedPage:
        """One page of full records, those of a window or all of them."""
        request = PageRequest(
            path=self.entity.list_path or "",
            api_version=self.entity.api_version,
            offset=offset,
            per_page=per_page,
            where=window.where(),
            order=order,
        )
        fetched = await self.client.fetch_page(request, expected_type=self.entity.resource)
        return self._read(fetched.page, window)

    async def each(
        self, places: Sequence[tuple[Window, int]], take: Callable[[Window, ListedPage], Awaitable[None]]
    ) -> None:
        """Read several pages side by side, and give each to `take` as it comes, so that none is kept for long."""
        waiting = iter(places)

        async def work() -> None:
            for window, offset in waiting:
                await take(window, await self.page(offset, window=window))

        await in_parallel([work() for _ in range(min(self.in_flight, len(places)))])

    async def of_owner(self, path: str, owner: str) -> OwnersRecords:
        """The list at `path` below one owner, read exactly."""
        read = partial(read_own_list, self.client.client, self.entity, path, owner, lane=self.client.lane)
        own = await self.client.patiently(read)
        self.client.requests += own.requests
        shown, rejected = self._shown(own.records)
        return OwnersRecords(
            records=tuple(shown), rejected=frozenset(_key(own.records[place], place) for place in rejected)
        )

    async def record(self, identity: str, *, where: str | None = None) -> Shown | None:
        """One record by its id, in its list or `where` else PCO shows it; None if PCO says that there is none.

        Raises `UnclearError` if it does not say.
        """
        path = f"{where or self.entity.list_path}/{quote(identity, safe='')}"
        try:
            document = await self.client.fetch_document(path, api_version=self.entity.api_version)
        except NotFound:
            return None
        except (SkipError, ServerFault, UndecodableAnswer, UnexpectedDocument, BadRequest) as error:
            raise UnclearError(str(error)) from None
        shown, _ = self._shown([document["data"]])
        if [one.id for one in shown] != [identity]:
            raise UnclearError("another record was shown")
        return shown[0]

    def _read(self, page: Page, window: Window) -> ListedPage:
        shown, rejected = self._shown(page.records)
        known = page.can_query_by is None or window.attributes <= page.can_query_by
        keys = tuple(_key(record, page.offset + place) for place, record in enumerate(page.records))
        return ListedPage(
            offset=page.offset,
            records=tuple(shown),
            keys=keys,
            rejected=tuple(keys[place] for place in rejected),
            total=page.total_count,
            next_offset=page.next_offset,
            is_inside=known and all(window.holds(one.row) for one in shown),
        )

    def _shown(self, records: Sequence[Json]) -> tuple[list[Shown], list[int]]:
        """The records as the sync would store them, and the places of those that it cannot store."""
        transformed = transform_page(
            records, entity=self.entity, org_id=self.org_id, epoch="", observed_at=datetime.now(UTC)
        )
        shown = []
        for row in transformed.rows:
            content_hash = row["_content_hash"]
            assert isinstance(content_hash, bytes)
            shown.append(
                Shown(
                    id=str(row["id"]),
                    content_hash=content_hash,
                    updated_at=_instant(row.get("updated_at")),
                    created_at=_instant(row.get("created_at")),
                    row=row,
                )
            )
        if not transformed.rejected:
            return shown, []
        refused = {one.raw for one in transformed.rejected}
        return shown, [place for place, record in enumerate(records) if raw_text(record) in refused]


def listing_of(resources: Resources, client: PcoClient, entity: Entity, org_id: str) -> Listing:
    """The records of `entity`, with the share of the rate budget that verifying a church has."""
    return Listing(
        client=resources.patient_client(client, lane=f"{org_id}:verify"),
        in_flight=resources.settings.pages_in_flight,
        entity=entity,
        org_id=org_id,
    )


def last_place(count: int) -> int:
    """Where the last of so many records is listed; the first place where that would be a deep offset."""
    return count - 1 if 0 < count <= DEEP_OFFSET else 0


def _key(record: Json, place: int) -> str:
    identity = record.get("id") if isinstance(record, dict) else None
    if isinstance(identity, str | int) and identity != "":
        return str(identity)
    content = hashlib.blake2b(raw_text(record).encode(), digest_size=16).hexdigest()
    return f"@{place}:{content}"


def _instant(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
