"""Proves the mirror of one list against PCO, and keeps the proof: by counts, by some pages, or by all of them.

What changes meanwhile is no difference: a record that was created or changed after the mirror was last complete is only
counted; and whatever differs is looked at once more, alone, in PCO and in the mirror, before it is told.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Table

from pco_catalog.catalog import Entity
from pco_client.client import PcoClient
from pco_client.documents import MalformedRecord, Page, read_resource
from pco_client.errors import NotFound, ServerFault, SkipError, UndecodableAnswer
from pco_client.rate_limit import DEEP_OFFSET
from pco_client.sansio import PageRequest
from pco_store.proofs import (
    Stretch,
    complete_as_of,
    creation_times,
    mirror_facts,
    put_proof,
    rows_by_id,
    rows_of,
)
from pco_store.tables import mirror_table
from tasks.comparison import Difference, Shown, are_in_order, compare
from tasks.lifespan import Resources
from tasks.patience import patiently
from tasks.retries import delays_of, retried
from tasks.window import WHOLE, Window, can_be_ranged

Method = Literal["count", "sample", "full"]
Verdict = Literal["exact", "different", "unknown"]

PAGE: Final = 100
MOST_ASKED: Final = 100
"""Differences of a kind that are looked at once more; more than these are not taken for chance."""
MOST_TOLD: Final = 100


class NotMirroredError(Exception):
    """The entity was never read completely, so there is nothing to prove."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """What a comparison has shown. `facts` hold ids, times and numbers, and no values."""

    proof_id: int
    org_id: str
    entity: str
    method: Method
    verdict: Verdict
    facts: dict[str, Any]
    requests: int
    seconds: float

    @property
    def told(self) -> str:
        """The proof in one line."""
        facts = self.facts
        cost = f"{self.requests} requests, {self.seconds:.1f} s"
        if self.verdict == "unknown":
            return f"PCO does not say how many there are; the mirror has {facts['mirror_count']} ({cost})"
        compared = f"{facts['compared']} of {facts['mirror_count']} compared, {facts['newer']} newer in PCO"
        if self.verdict == "exact":
            return f"{compared} ({cost})"
        kinds = [f"{facts[kind]} {kind}" for kind in ("missing", "ghosts", "stale") if facts[kind]]
        if facts["pco_count"] is not None and facts["pco_count"] != facts["mirror_count"]:
            kinds.append(f"PCO counts {facts['pco_count']}, the mirror {facts['mirror_count']}")
        return f"{', '.join(kinds)}; {compared} ({cost})"


async def prove(
    resources: Resources,
    client: PcoClient,
    org_id: str,
    entity: Entity,
    *,
    method: Method,
    sample_pages: int,
    seed: int,
) -> Proof:
    """Compare, and keep the proof in `sync.proofs`. Raises `NotMirroredError`, and the errors of client and store."""
    began = time.monotonic()
    as_of = await patiently(resources, lambda connection: complete_as_of(connection, org_id, entity.name))
    if as_of is None:
        raise NotMirroredError(f"{entity.name} of {org_id} was never read completely; sync it first")
    work = _Verification(resources, client, org_id, entity, as_of)
    verdict, facts = await work.run(method, sample_pages=sample_pages, chance=random.Random(seed))  # noqa: S311
    facts |= {"as_of": as_of.isoformat(), "seed": seed}
    seconds = round(time.monotonic() - began, 3)
    proof_id = await patiently(
        resources,
        lambda connection: put_proof(
            connection,
            org_id=org_id,
            entity=entity.name,
            method=method,
            verdict=verdict,
            facts=facts,
            requests=work.requests,
            seconds=seconds,
        ),
    )
    return Proof(
        proof_id=proof_id,
        org_id=org_id,
        entity=entity.name,
        method=method,
        verdict=verdict,
        facts=facts,
        requests=work.requests,
        seconds=seconds,
    )


@dataclass
class _Verification:
    resources: Resources
    client: PcoClient
    org_id: str
    entity: Entity
    as_of: datetime
    requests: int = 0
    _found: Difference = field(default_factory=Difference)

    async def run(self, method: Method, *, sample_pages: int, chance: random.Random) -> tuple[Verdict, dict[str, Any]]:
        base = self._base()
        first = await self._page(base, 0, per_page=1 if method == "count" else PAGE)
        stretch = Stretch(created_until=base.until if base.attribute else None)
        mirror = await patiently(
            self.resources, lambda connection: mirror_facts(connection, self._table, self.org_id, stretch)
        )
        total = await self._believable(base, first, mirror.live)
        newest = await self._compare_newest()
        pages = 1
        if method == "full":
            pages = await self._compare_all(base, first, total)
        elif method == "sample" and total is not None:
            pages = await self._compare_some(base, first, total, sample_pages, chance)
        await self._look_again()
        found = self._found
        verdict: Verdict = "exact"
        if not found.is_none:
            verdict = "different"
        elif method != "full":
            verdict = _verdict_of_counts(total, mirror.live, is_bounded=base.attribute is not None, method=method)
        return verdict, {
            "pco_count": total,
            "mirror_count": mirror.live,
            "pages": pages,
            "compared": len(found.compared) if method != "count" else 0,
            "newer": len(found.newer),
            "newest_in_pco": newest and newest.isoformat(),
            "newest_in_mirror": mirror.newest and mirror.newest.isoformat(),
            **{kind: len(getattr(found, kind)) for kind in ("missing", "ghosts", "stale")},
            "residuals": {
                kind: sorted(getattr(found, kind), key=lambda one: (len(one), one))[:MOST_TOLD]
                for kind in ("missing", "ghosts", "stale")
            },
        }

    @property
    def _table(self) -> Table:
        return mirror_table(self.entity)

    @property
    def _has_times(self) -> bool:
        return "updated_at" in self.entity.attributes

    def _base(self) -> Window:
        """All that was created until the mirror was last complete, where PCO can filter by that; else everything."""
        if can_be_ranged(self.entity, "created_at"):
            return Window(attribute="created_at", since=None, until=self.as_of)
        return WHOLE

    async def _believable(self, base: Window, first: Page, live: int) -> int | None:
        """How many there are, unless the count is missing or contradicts what PCO shows around its end."""
        total = first.total_count
        if total is None or total < len(first.records) or (first.next_offset and total <= len(first.records)):
            return None
        if total == live:
            return total
        beyond = await self._page(base, total, per_page=1)
        if beyond.records or (total > 1 and not (await self._page(base, total - 1, per_page=1)).records):
            return None
        return total

    async def _compare_newest(self) -> datetime | None:
        """The newest change that PCO knows, where it can be asked for; its record is compared, too."""
        if not (self._has_times and "updated_at" in self.entity.can_order_by):
            return None
        page = await self._page(WHOLE, 0, per_page=1, order="-updated_at")
        shown = self._shown(page)
        if not shown:
            return None
        rows = await self._rows_by_id([one.id for one in shown])
        self._found |= compare(shown, rows, as_of=self.as_of, has_times=self._has_times)
        return shown[0].updated_at

    async def _compare_all(self, base: Window, first: Page, total: int | None) -> int:
        """Every page; without a count one after the other."""
        listed: list[Shown] = list(self._shown(first))
        pages = 1
        if total is not None and first.next_offset is not None:
            offsets = range(first.next_offset, total, first.next_offset)
            for page in await self._gathered([(base, offset) for offset in offsets]):
                listed += self._shown(page)
                pages += 1
        else:
            following = first.next_offset
            while following is not None:
                page = await self._page(base, following)
                listed += self._shown(page)
                following, pages = page.next_offset, pages + 1
        stretch = Stretch(created_until=base.until if base.attribute else None)
        rows = await patiently(
            self.resources, lambda connection: rows_of(connection, self._table, self.org_id, stretch)
        )
        self._found |= compare(listed, rows, as_of=self.as_of, has_times=self._has_times)
        return pages

    async def _compare_some(
        self, base: Window, first: Page, total: int, sample_pages: int, chance: random.Random
    ) -> int:
        """The first page, the last one, and some in between; without a deep offset where there is another way."""
        last_offset = (total - 1) // PAGE * PAGE if total else 0
        await self._compare_page(base, first, opens=True, closes=first.next_offset is None)
        if last_offset == 0:
            return 1
        if total > DEEP_OFFSET and base.attribute is not None:
            shares = [*sorted(chance.random() for _ in range(sample_pages - 2)), 1 - PAGE / 2 / total]
            times = await patiently(
                self.resources,
                lambda connection: creation_times(connection, self._table, self.org_id, shares=shares),
            )
            places = [(Window(attribute="created_at", since=at, until=base.until), 0) for at in dict.fromkeys(times)]
        else:
            between = range(PAGE, last_offset, PAGE)
            chosen = sorted(chance.sample(between, min(sample_pages - 2, len(between))))
            places = [(base, offset) for offset in (*chosen, last_offset)]
        for (window, offset), page in zip(places, await self._gathered(places), strict=True):
            is_last = offset == last_offset and page.next_offset is None
            await self._compare_page(window, page, opens=False, closes=is_last)
        return 1 + len(places)

    async def _compare_page(self, window: Window, page: Page, *, opens: bool, closes: bool) -> None:
        """A page with the rows between its ends; the first and the last one with what is before and behind, too."""
        shown = self._shown(page)
        ids = [one.id for one in shown]
        if not are_in_order(ids):
            rows = await self._rows_by_id(ids)
        else:
            stretch = Stretch(
                first=None if opens or not ids else ids[0],
                last=None if closes or not ids else ids[-1],
                created_since=window.since,
                created_until=window.until,
            )
            rows = await patiently(
                self.resources, lambda connection: rows_of(connection, self._table, self.org_id, stretch)
            )
        self._found |= compare(shown, rows, as_of=self.as_of, has_times=self._has_times)

    async def _look_again(self) -> None:
        """Whatever differs is asked for alone, and compared with the row as it is by then."""
        found = self._found
        for kind in (found.missing, found.ghosts, found.stale):
            if not kind or len(kind) > MOST_ASKED:
                continue
            ids = sorted(kind)
            asked = dict(zip(ids, await asyncio.gather(*(self._alone(one) for one in ids)), strict=True))
            rows = await self._rows_by_id(ids)
            for identity, shown in asked.items():
                if shown is None:
                    is_same = identity not in rows
                else:
                    is_same = identity in rows and (not self._has_times or rows[identity] == shown.updated_at)
                    if not is_same and shown.is_newer_than(self.as_of):
                        found.newer.add(identity)
                        is_same = True
                if is_same:
                    kind.discard(identity)

    async def _alone(self, identity: str) -> Shown | None:
        """One record; None if PCO says that there is none."""
        path = f"{self.entity.list_path}/{identity}"
        self.requests += 1
        try:
            document = await self._retried(
                lambda: self.client.fetch_document(path, api_version=self.entity.api_version, lane=self._lane)
            )
        except NotFound:
            return None
        except (SkipError, ServerFault, UndecodableAnswer):
            return Shown(id=identity)
        return self._read(document["data"]) or Shown(id=identity)

    async def _rows_by_id(self, ids: Sequence[str]) -> dict[str, datetime | None]:
        return await patiently(self.resources, lambda connection: rows_by_id(connection, self._table, self.org_id, ids))

    async def _gathered(self, places: Sequence[tuple[Window, int]]) -> list[Page]:
        room = asyncio.Semaphore(self.resources.settings.pages_in_flight)

        async def one(window: Window, offset: int) -> Page:
            async with room:
                return await self._page(window, offset)

        return await asyncio.gather(*(one(*place) for place in places))

    async def _page(self, window: Window, offset: int, *, per_page: int = PAGE, order: str | None = None) -> Page:
        names = tuple(name for name in ("created_at", "updated_at") if name in self.entity.attributes)
        request = PageRequest(
            path=self.entity.list_path or "",
            api_version=self.entity.api_version,
            offset=offset,
            per_page=per_page,
            where=window.where(),
            order=order,
            fields=((self.entity.resource, names),) if names else (),
        )
        fetched = await self._retried(
            lambda: self.client.fetch_page(request, expected_type=self.entity.resource, lane=self._lane)
        )
        self.requests += fetched.requests
        page: Page = fetched.page
        return page

    async def _retried(self, ask: Any) -> Any:
        settings = self.resources.settings
        delays = delays_of(settings)
        return await retried(lambda _: ask(), delays=delays)

    @property
    def _lane(self) -> str:
        return f"{self.org_id}:verify"

    def _shown(self, page: Page) -> list[Shown]:
        return [one for record in page.records if (one := self._read(record)) is not None]

    def _read(self, record: Any) -> Shown | None:
        try:
            resource = read_resource(record, expected_type=self.entity.resource)
        except MalformedRecord:
            return None
        return Shown(
            id=resource.id,
            updated_at=_time(resource.attributes.get("updated_at")),
            created_at=_time(resource.attributes.get("created_at")),
        )


def _verdict_of_counts(total: int | None, live: int, *, is_bounded: bool, method: Method) -> Verdict:
    """What the counts say where no record was found to differ; in a list without a bound there may be new ones."""
    if total is None:
        return "unknown"
    if total == live or (total > live and not is_bounded and method == "sample"):
        return "exact"
    return "different" if is_bounded or total < live else "unknown"


def _time(value: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
