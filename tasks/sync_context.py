"""What the page tasks of one running sync share; never a task parameter, so that it never reaches Prefect's server."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from sqlalchemy import Table

from pco_catalog.catalog import Entity
from pco_catalog.chains import Level
from pco_client.client import PcoClient
from pco_client.documents import Page
from pco_store.children import NewChildren
from pco_store.database import Database
from pco_store.ledger import PageReceipt, RunHandle, RunWindow
from tasks.window import Window


@dataclass(kw_only=True)
class Counters:
    """What happened in this execution and is not in the ledger: it restarts with the process."""

    pages: int = 0
    rows: int = 0
    retries: int = 0
    quarantined: int = 0
    waited_seconds: float = 0.0
    window_ignored: bool = False
    unknown_attributes: set[str] = field(default_factory=set)
    processed_as_version: str | None = None
    included_ignored: int = 0

    def note(self, page: Page, *, asked_version: str) -> None:
        """What PCO did differently from what it was asked: another API version, records that nobody asked for."""
        self.included_ignored += page.included_count
        if page.processed_as_version not in (None, asked_version):
            self.processed_as_version = page.processed_as_version

    def note_all(self, other: "Counters") -> None:
        """The same of another sync of the entity."""
        self.unknown_attributes |= other.unknown_attributes
        self.included_ignored += other.included_ignored
        self.processed_as_version = other.processed_as_version or self.processed_as_version


@dataclass(frozen=True, kw_only=True)
class Spawn:
    """What every record of a page gets in a fan-out: a child that reads the list `level` below it."""

    root: RunHandle
    level: Level
    window: RunWindow
    parent_scope: str

    def children_of(self, ids: Sequence[str]) -> NewChildren:
        """The children of these records."""
        return NewChildren(
            org_id=self.root.org_id,
            epoch=self.root.epoch,
            final_entity=self.root.entity,
            root_id=self.root.run_id,
            entity=self.level.entity.name,
            scopes=tuple(self.level.scope_below(self.parent_scope, one) for one in ids),
            window=self.window,
            page_size=self.root.page_size,
        )


@dataclass(frozen=True, kw_only=True)
class SyncContext:
    """One execution of one sync of the list at `path`.

    `in_flight` bounds the requests at a time. `committed` are the pages of earlier executions, by reading, offset and
    size. With `on_completing`, a list of one page completes the run with its page: it is told True before, and False if
    that failed.
    """

    run: RunHandle
    entity: Entity
    path: str
    table: Table
    window: Window
    client: PcoClient
    database: Database
    in_flight: int
    spawn: Spawn | None = None
    on_completing: Callable[[bool], None] | None = None
    committed: Mapping[tuple[int, int, int], PageReceipt] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)

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

    @property
    def lane(self) -> str:
        """Under which name this sync takes its share of the rate budget."""
        return f"{self.run.org_id}:{self.entity.name}"


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
