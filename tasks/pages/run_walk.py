"""A run of the ledger as a walk: what was committed is replayed, the rest is read."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial

from prefect.context import TagsContext

from pco_catalog.catalog import Entity, load_catalog
from pco_client.client import PcoClient
from pco_store.ledger.members import Member, members_of, open_child_members
from pco_store.ledger.runs import PageReceipt, RunHandle, committed_pages, seen_ids
from pco_store.mirror.links import SharedList
from pco_store.mirror.tables import mirror_table
from pco_walks.part_walks import PartWalks
from pco_walks.parts import Part, decode_parts
from pco_walks.walk import PageReading
from pco_walks.window import Window
from tasks.lifespan import Resources
from tasks.pages.apply_page import reading_of
from tasks.pages.collection import read_collection
from tasks.pages.processing import PageProcessing
from tasks.pages.sync_context import Companion, Spawn, SyncContext, entered, lane_of
from tasks.patience import patiently


async def begin_walk(
    resources: Resources,
    client: PcoClient,
    run: RunHandle,
    entity: Entity,
    *,
    path: str,
    in_flight: int,
    parents: Mapping[str, str] | None = None,
    shared: SharedList | None = None,
    spawn: Spawn | None = None,
    naming: tuple[str, ...] = (),
    fan_out: RunHandle | None = None,
    on_completing: Callable[[bool], None] | None = None,
) -> tuple[SyncContext, PartWalks]:
    """The walks of a run that is ours, as far as earlier executions came.

    `fan_out` is the one whose includes a child shares. Its own walk, over the outermost parents, brings nothing.
    """
    parts, why = parts_of(run)
    members: list[Member] = []
    if fan_out is not None or (run.members and run.fan_out is None):
        members = await _members(resources, run, fan_out)
    committed: list[PageReceipt] = []
    seen: dict[int, set[str]] = {}
    if not run.is_new:
        async with resources.database.transaction() as connection:
            committed = await committed_pages(connection, run)
            for part in parts:
                if part.window.remembers_records:
                    seen[part.number] = await seen_ids(connection, run, part.number)
    sync = SyncContext(
        run=run,
        entity=entity,
        path=path,
        table=mirror_table(entity),
        windows={part.number: part.window for part in parts},
        client=client,
        patient=resources.patient_client(client, lane=lane_of(run.org_id, entity)),
        database=resources.database,
        large_pages=resources.large_pages,
        in_flight=in_flight,
        part_records=resources.settings.part_records,
        clock_offset=await resources.clock_offset(),
        parents=parents or {},
        shared=shared,
        spawn=spawn,
        companions={one.include: companion_of(one) for one in members if one.dropped is None},
        included=tuple(one.include for one in members),
        naming=naming,
        on_completing=on_completing,
        seen=seen,
        committed={(one.part, one.reading, one.offset, one.page_size): one for one in committed},
    )
    sync.evidence.fallback = why
    walks = PartWalks(parts, page_size=run.page_size)
    readings: dict[int, list[PageReading]] = defaultdict(list)
    for receipt in committed:
        readings[receipt.part].append(reading_of(receipt))
    walks.replay(readings)
    return sync, walks


async def _members(resources: Resources, run: RunHandle, fan_out: RunHandle | None) -> list[Member]:
    if fan_out is not None:
        return await patiently(resources, partial(open_child_members, child=run, root=fan_out))
    return await patiently(resources, partial(members_of, run=run), is_one_statement=True)


def companion_of(member: Member) -> Companion:
    """How a member's kind is read with its list."""
    entity = load_catalog().entity(member.run.entity)
    assert entity.sideload is not None, "it was opened as a member"
    return Companion(sideload=entity.sideload, entity=entity, table=mirror_table(entity), run=member.run)


def parts_of(run: RunHandle) -> tuple[list[Part], str]:
    """The parts that a run is read in, and why they are not the best ones."""
    if run.parts is not None:
        return decode_parts(run.parts)
    window = Window(attribute=run.window.attribute, since=run.window.since, until=run.window.until)
    return [Part(number=0, window=window)], ""


async def finish_walk(walks: PartWalks, sync: SyncContext, processing: PageProcessing) -> None:
    """Read what is left. The first error that is not one page's own fault is raised.

    The tags of the flow run are not repeated on every page's task run.
    """
    with entered(sync), TagsContext(current_tags=set()):
        await read_collection(walks, sync, processing=processing)
