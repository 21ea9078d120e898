"""What a flow asks the ledger for, and what it tells it at the end."""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import Entity, load_catalog
from pco_store.database import Database
from pco_store.errors import LeaseLost, StoreUnavailable
from pco_store.ledger.leases import RunLease, open_run
from pco_store.ledger.members import Traits, read_traits
from pco_store.ledger.openings import ConflictPolicy, NotOpened, Opened, RunRequest
from pco_store.ledger.runs import FanOutPlan, FinalState, RunHandle, RunWindow, abandon_run, finish_run
from pco_store.ledger.watermarks import WatermarkReading, read_watermark
from pco_store.schema_check import check_schema
from pco_walks.window import Mode, choose_window
from tasks.flow_run import current_flow_run_id, owner
from tasks.lifespan import Resources
from tasks.logs import sync_logger
from tasks.patience import patiently, while_the_ledger_is_away
from tasks.stopping import is_stopped_by_person, mark_crashed

LONGEST_ERROR = 2000
"""Characters of an error that the ledger keeps."""


def run_window(
    entity: Entity,
    *,
    mode: Mode,
    until: datetime,
    watermark: datetime | None,
    distrusted: Set[tuple[str, str]] = frozenset(),
) -> RunWindow:
    """The window of a run of `entity`, as the ledger keeps it. Raises `ModeNotPossibleError`."""
    window = choose_window(entity, mode=mode, until=until, watermark=watermark, distrusted=distrusted)
    return RunWindow(attribute=window.attribute, since=window.since, until=window.until)


async def run_request(
    resources: Resources,
    *,
    org_id: str,
    entity: Entity,
    read_entity: Entity,
    scope: str,
    epoch: str | None,
    on_conflict: ConflictPolicy,
    mode: Mode,
    fan_out: FanOutPlan | None = None,
    plan: Mapping[str, Any] | None = None,
    path: str | None = None,
) -> RunRequest:
    """A request for a run of `entity` that reads the list of `read_entity`; its window ends now, by the database
    or, where that was found to be wrong, by PCO. `path`: of the lists of `entity` in a fan-out.

    Raises `SchemaMissing`, `SchemaOutdated`, `SchemaNewer`, `StoreUnavailable`, `ModeNotPossibleError`.
    """

    async def read(connection: AsyncConnection) -> tuple[WatermarkReading, Traits]:
        await check_schema(connection)
        traits = await read_traits(connection, org_id)
        return await read_watermark(connection, org_id=org_id, entity=entity.name), traits

    known, traits = await patiently(resources, read)
    return RunRequest(
        org_id=org_id,
        entity=entity.name,
        scope=scope,
        epoch=epoch,
        mode=mode,
        on_conflict=on_conflict,
        window=run_window(
            read_entity,
            mode=mode,
            until=known.now + resources.pco_ahead[org_id],
            watermark=known.watermark,
            distrusted=traits.distrusted,
        ),
        page_size=traits.page_size(entity.name, resources.settings.page_size),
        owner=owner(),
        flow_run_id=current_flow_run_id(),
        lease_seconds=resources.settings.lease_seconds,
        fan_out=fan_out,
        plan=plan,
        sideloads=load_catalog().brought_by(entity.name, traits.distrusted, path=path),
    )


async def checked_schema(resources: Resources) -> None:
    """Raises `SchemaMissing`, `SchemaOutdated`, `SchemaNewer`, `StoreUnavailable`."""
    await patiently(resources, check_schema)


def reason_of(error: BaseException) -> str:
    """An error as the ledger keeps it."""
    told = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else type(error).__name__
    return told[:LONGEST_ERROR]


async def opened_run(resources: Resources, request: RunRequest) -> tuple[Opened | NotOpened, RunLease | None]:
    """`open_run`, waiting for a ledger that is away. Raises `PlanDiffers`, and `StoreUnavailable` in the end."""
    opened, lease = await while_the_ledger_is_away(resources, lambda: open_run(resources.database, request))
    if isinstance(opened, Opened) and opened.left:
        sync_logger().warning("%s is a new turn: %s", opened.run.key, opened.left)
    if isinstance(opened, Opened) and opened.taken_from:
        await mark_crashed([opened.taken_from], "its process is dead; another run continues its work")
    return opened, lease


async def close_unfinished(
    database: Database, run: RunHandle, error: BaseException, *, beside: Sequence[RunHandle] = ()
) -> None:
    """Tell the ledger that nobody works on the run any more, nor on those `beside` it, so that the next start continues
    them at once.

    failed: by an error; cancelled: by a person. If only our process has to go, the recovery may continue them.
    """
    state: FinalState | None = "failed"
    if not isinstance(error, Exception):
        state = "cancelled" if await is_stopped_by_person() else None
    for one in (*beside, run):
        try:
            async with database.transaction() as connection:
                if state is None:
                    await abandon_run(connection, one)
                else:
                    await finish_run(connection, one, state, error=reason_of(error))
        except (LeaseLost, StoreUnavailable) as unsaid:
            sync_logger().warning("the ledger was not told that %s ended: %s", one.key, unsaid)
