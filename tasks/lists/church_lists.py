"""Reads the lists of a whole church in one flow run: opened together, held by one lease, each ending for itself."""

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import load_catalog
from pco_client.client import PcoClient
from pco_client.errors import PcoError, RetryError, SkipError, Unauthorized, WaitError
from pco_store.clock import database_time
from pco_store.errors import StoreError
from pco_store.ledger.leases import RunLease, open_beside
from pco_store.ledger.members import read_traits
from pco_store.ledger.openings import NotOpened, Opened, RunRequest
from pco_store.ledger.watermarks import read_watermarks
from pco_walks.ways import Way
from tasks.deletions.from_a_list import ManyDeletions
from tasks.flow_run import current_flow_run_id, owner
from tasks.lifespan import Resources
from tasks.lists.readable_products import PRODUCTS, unreadable_products
from tasks.lists.reading import read_list
from tasks.logs import sync_logger
from tasks.pages.processing import PageProcessing, first_directly
from tasks.patience import patiently, while_the_ledger_is_away
from tasks.reports.organization_summary import EntityEnd
from tasks.runs.opening import reason_of, run_window
from tasks.runs.working import working_beside
from tasks.stopping import mark_crashed

LISTS_AT_A_TIME: Final = 8
LISTS_IN_VAIN: Final = 4
"""So many lists, of whichever product, may be without an answer before one is answered; then a delta tries no others.
They end late, so that by then whatever answers has done so.
"""
LOOK_SECONDS: Final = 1.0

Opening = Opened | NotOpened | Exception


async def read_church_lists(
    resources: Resources,
    client: PcoClient,
    lease: RunLease,
    ways: Sequence[Way],
    *,
    many_deletions: ManyDeletions,
    within: float | None = None,
) -> dict[str, EntityEnd]:
    """Read these lists under the church's `lease`, in its epoch; how each of them ended.

    They are begun in the order given, but those of a delta as `in_turn` says. What another execution reads under the
    same key is waited for, and taken over when it fell silent. `within`: of a delta, the seconds after which the first
    page of a list is not tried again. Raises `Unauthorized` if PCO accepts the credential for nothing any more, and a
    `RetryError` or `WaitError` if it answers to nothing; what else goes wrong with one list is its own.
    """
    reader = _Reader(
        resources=resources,
        client=client,
        lease=lease,
        ways=ways,
        many_deletions=many_deletions,
        processing=first_directly(resources, within=within),
        within=within,
    )
    # A delta is over in a moment, so all of them are opened together; a list that is read in full when its turn comes.
    opened = await reader.open([way for way in ways if way.mode == "delta"])
    turns = ways if within is None else in_turn(ways, first=opened.keys())
    async with asyncio.TaskGroup() as group:
        for way in turns:
            group.create_task(reader.read(way, opened.get(way.entity.name)), name=way.entity.name)
    if reader.of_church is not None:
        raise reader.of_church
    return reader.ended


def in_turn(ways: Sequence[Way], *, first: Collection[str]) -> list[Way]:
    """A delta's lists: those named `first` before the others, and of both one of each product after the other: when one
    product does not answer, it is soon known that others do. Those of one product keep their order.
    """
    turns: Counter[tuple[bool, str]] = Counter()
    keyed = []
    for way in ways:
        lot = (way.entity.name not in first, way.entity.product)
        keyed.append(((lot[0], turns[lot]), way))
        turns[lot] += 1
    return [way for _, way in sorted(keyed, key=lambda pair: pair[0])]


@dataclass(kw_only=True)
class _Reader:
    """`of_church`: why nothing more is read: PCO accepts the credential for no product any more, or answers nothing."""

    resources: Resources
    client: PcoClient
    lease: RunLease
    ways: Sequence[Way]
    many_deletions: ManyDeletions
    processing: PageProcessing
    within: float | None = None
    ended: dict[str, EntityEnd] = field(default_factory=dict)
    of_church: PcoError | None = None
    _answered: bool = False
    _unanswered: int = 0
    _refused: dict[str, str] | None = None
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LISTS_AT_A_TIME))

    async def open(self, ways: Sequence[Way]) -> dict[str, Opening]:
        """Whose these lists are now, by entity."""
        if not ways:
            return {}
        requests = await patiently(self.resources, partial(self._requests, ways=ways))
        opened = await while_the_ledger_is_away(self.resources, lambda: open_beside(self.lease, requests))
        dead = {one.taken_from for one in opened.values() if isinstance(one, Opened) and one.taken_from}
        await mark_crashed(sorted(dead), "its process is dead; another run continues its work")
        return dict(opened)

    async def read(self, way: Way, opening: Opening | None) -> None:
        """Read one list when there is room, and note how it ended."""
        name = way.entity.name
        async with self._room:
            try:
                self.ended[name] = await self._read(way, opening)
            except (RetryError, WaitError) as error:
                if error is not self.of_church:
                    sync_logger().error("%s: %s", name, reason_of(error))
                    self._note_silence(error)
                self.ended[name] = EntityEnd(outcome="failed", reason=reason_of(error))
                return
            except Unauthorized as error:
                self.ended[name] = await self._refusal(way, error)
            except SkipError as error:
                self.ended[name] = EntityEnd(outcome="unreadable", reason=reason_of(error))
            except Exception as error:  # noqa: BLE001 - one list's trouble, whatever it is, must not stop the others
                is_known = isinstance(error, PcoError | StoreError)
                sync_logger().error("%s: %s", name, reason_of(error), exc_info=None if is_known else error)
                self.ended[name] = EntityEnd(outcome="failed", reason=reason_of(error))
            self._answered = True

    async def _read(self, way: Way, opening: Opening | None) -> EntityEnd:
        if self.of_church is not None:
            raise self.of_church  # what is open already is closed with the church's run
        while opening is None or (isinstance(opening, NotOpened) and opening.why == "running"):
            if opening is not None:
                await asyncio.sleep(LOOK_SECONDS)
            opening = (await self.open([way]))[way.entity.name]
        if isinstance(opening, NotOpened):
            return EntityEnd(outcome="completed")
        if isinstance(opening, Exception):
            raise opening
        run = opening.run
        async with working_beside(self.resources, self.lease, run):
            read = await read_list(
                self.resources, self.client, way.entity, run, processing=self.processing, is_one_of_many=True
            )
        return EntityEnd(outcome=read.end.outcome, reason=read.end.reason)

    def _note_silence(self, error: PcoError) -> None:
        """Ends the delta of a church of which nothing answers: others need its place."""
        self._unanswered += 1
        if self.within is not None and not self._answered and self._unanswered >= LISTS_IN_VAIN:
            self.of_church = error

    async def _refusal(self, way: Way, error: Unauthorized) -> EntityEnd:
        """A 401 may be about the product (#845) or about the credential: then each product is requested, once."""
        async with self._asking:
            if self._refused is None:
                self._refused = {}
                products = {one.entity.product for one in self.ways}
                try:
                    patient = self.resources.patient_client(self.client, lane=PRODUCTS)
                    self._refused, _ = await unreadable_products(patient, load_catalog(), products)
                except Unauthorized as of_all:
                    self.of_church = of_all
                except PcoError as other:
                    sync_logger().warning("it is not known which products may be read: %s", reason_of(other))
        if why := self._refused.get(way.entity.product):
            return EntityEnd(outcome="unreadable", reason=why)
        return EntityEnd(outcome="failed", reason=reason_of(error))

    async def _requests(self, connection: AsyncConnection, *, ways: Sequence[Way]) -> list[RunRequest]:
        run, settings = self.lease.run, self.resources.settings
        known, now = await read_watermarks(connection, run.org_id), await database_time(connection)
        traits = await read_traits(connection, run.org_id)
        return [
            RunRequest(
                org_id=run.org_id,
                entity=way.entity.name,
                epoch=run.epoch,
                mode=way.mode,
                on_conflict="join",
                window=run_window(
                    way.entity,
                    mode=way.mode,
                    until=now + self.resources.pco_ahead[run.org_id],
                    watermark=known.get(way.entity.name),
                    distrusted=traits.distrusted,
                ),
                page_size=traits.page_size(way.entity.name, settings.page_size),
                owner=owner(),
                flow_run_id=current_flow_run_id(),
                lease_seconds=settings.lease_seconds,
                plan={"many_deletions": self.many_deletions, "is_of_church": True},
                sideloads=load_catalog().brought_by(way.entity.name, traits.distrusted),
            )
            for way in ways
        ]
