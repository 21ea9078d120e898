"""What the page tasks of one running sync share; never a task parameter, so that it never reaches Prefect's server."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import timedelta

from sqlalchemy import Table

from pco_catalog.catalog import Entity, Sideload
from pco_catalog.chains import Level
from pco_client.client import FetchedPage, PcoClient
from pco_client.sansio import PageRequest
from pco_store.database import Database
from pco_store.ledger.fan_out.children import NewChildren
from pco_store.ledger.runs import PageReceipt, RunHandle, RunWindow
from pco_store.mirror.links import SharedList
from pco_walks.window import Window
from tasks.pages.evidence import Drift, Evidence, Tally
from tasks.pages.page_ref import PageRef
from tasks.patient_client import PatientClient


@dataclass(frozen=True, kw_only=True)
class Spawn:
    """What every record of a page gets in a fan-out: a child that reads the list `level` below it."""

    root: RunHandle
    level: Level
    window: RunWindow
    parent_scope: str

    def children_of(self, ids: Sequence[str]) -> NewChildren:
        """The children of these records."""
        assert self.root.fan_out is not None, "only a fan-out has children"
        return NewChildren(
            org_id=self.root.org_id,
            epoch=self.root.epoch,
            final_entity=self.root.entity,
            below=self.root.fan_out.below,
            root_id=self.root.run_id,
            entity=self.level.entity.name,
            scopes=tuple(self.level.scope_below(self.parent_scope, one) for one in ids),
            window=self.window,
            page_size=self.root.page_size,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Companion:
    """A kind that comes with the records of a list: how, and the member of the list's run that keeps its pages."""

    sideload: Sideload
    entity: Entity
    table: Table
    run: RunHandle


@dataclass(frozen=True, kw_only=True)
class SyncContext:
    """One execution of one sync of the list at `path`; `parents` are the ids in it that are its records' own, by name.

    `patient` requests what is no page of it. `windows` are those of the run's parts, by number. `in_flight` bounds the
    requests at a time, `part_records` the records of a part that can be divided; `large_pages` is the process's room
    for pages that take much memory. `clock_offset` leads from this machine's clock to the database's. `committed` are
    the pages of earlier executions, by part, reading, offset and size; `seen` the records on the proven pages of parts
    that are read from the newest record on, and on the opening page of those that open with the whole list. `shared`
    is the list to which its records are linked, if they stand in others, too. `companions` are the kinds that come
    with its records, by include; one that is dropped is taken out, and `included` keeps what every page of the run
    asks for. `naming` is included so that the records name it. With `on_completing`, a list of one page completes the
    run with its page: it is told True before, and False if that failed.
    """

    run: RunHandle
    entity: Entity
    path: str
    table: Table
    windows: dict[int, Window]
    client: PcoClient
    patient: PatientClient
    database: Database
    large_pages: asyncio.Semaphore
    in_flight: int
    part_records: int = 25_000
    naming: tuple[str, ...] = ()
    clock_offset: timedelta = timedelta()
    parents: Mapping[str, str] = field(default_factory=dict)
    shared: SharedList | None = None
    spawn: Spawn | None = None
    companions: dict[str, Companion] = field(default_factory=dict)
    included: tuple[str, ...] = ()
    on_completing: Callable[[bool], None] | None = None
    seen: dict[int, set[str]] = field(default_factory=dict)
    committed: Mapping[tuple[int, int, int, int], PageReceipt] = field(default_factory=dict)
    evidence: Evidence = field(default_factory=Evidence)
    drift: Drift = field(default_factory=Drift)
    tally: Tally = field(default_factory=Tally)

    @contextmanager
    def completing(self, completes_run: bool) -> Iterator[None]:
        """The block completes the run, if so, unless it raises."""
        if not completes_run or self.on_completing is None:
            yield
            return
        self.on_completing(True)
        try:
            yield
        except BaseException:
            self.on_completing(False)
            raise

    def forget_companion(self, include: str) -> bool:
        """It is not read with the records any more, nor is what comes with its own; whether it was until now."""
        for inner in [one for one in self.companions if one.startswith(f"{include}.")]:
            del self.companions[inner]
        return self.companions.pop(include, None) is not None

    async def fetch(self, page: PageRef, *, on_large: Callable[[], Awaitable[object]] | None = None) -> FetchedPage:
        """Request a page, or a part of one; `on_large` as in `PcoClient.fetch_page`. Raises the client's errors."""
        window = self.windows[page.part]
        request = PageRequest(
            path=self.path,
            api_version=self.entity.api_version,
            offset=page.offset,
            per_page=page.size,
            where=() if page.whole else window.where(),
            order=window.order,
            include=page.include,
        )
        return await self.client.fetch_page(
            request, expected_type=self.entity.resource, lane=self.lane, on_large=on_large
        )

    async def see_the_product(self) -> None:
        """Raises the client's errors if the product itself does not answer now."""
        path = f"/{self.entity.product}/v2"
        await self.client.fetch_document(path, api_version=self.entity.api_version, lane=self.lane)

    @property
    def has_quarantined(self) -> bool:
        """Something of the run is in quarantine, by this execution or an earlier one."""
        return self.tally.quarantined > 0 or any(one.quarantined for one in self.committed.values())

    @property
    def known_pages(self) -> int:
        """How many pages of the run are committed, by this execution and those before it."""
        return len(self.committed) + self.tally.pages

    @property
    def settled_run(self) -> RunHandle:
        """The run with the window that it was read in, in the end."""
        if self.evidence.corrected_until is None:
            return self.run
        return replace(self.run, window=replace(self.run.window, until=self.evidence.corrected_until))

    @property
    def delays(self) -> Sequence[float]:
        """The waits between the tries of what is requested or written beside the pages."""
        return self.patient.delays

    @property
    def lane(self) -> str:
        """Under which name this sync takes its share of the rate budget."""
        return self.patient.lane


_current: ContextVar[SyncContext] = ContextVar("pco_sync_context")


def current_sync() -> SyncContext:
    """The sync this task belongs to. Raises `LookupError` outside of one."""
    return _current.get()


@contextmanager
def entered(sync: SyncContext) -> Iterator[SyncContext]:
    """Tasks started inside belong to `sync`."""
    token = _current.set(sync)
    try:
        yield sync
    finally:
        _current.reset(token)


def lane_of(org_id: str, entity: Entity) -> str:
    """Under which name syncs of an entity take their share of the rate budget."""
    return f"{org_id}:{entity.name}"
