"""A second turn of a whole church in which nothing has changed writes no row and no link."""

from collections.abc import Sequence

from pco_catalog.catalog import Entity, load_catalog
from pco_catalog.patterns import select_entities
from pco_client.client import PcoClient
from pco_store.ledger.leases import open_run
from pco_store.ledger.openings import Opened
from pco_store.ledger.runs import finish_run
from pco_store.mirror.tables import mirror_table, quoted_name
from pco_walks.ways import Way, ways_of
from tasks.lifespan import get_client_for_org
from tasks.pages.processing import directly
from tasks.pages.run_walk import begin_walk, finish_walk
from tasks.runs.opening import run_request
from tests.integration.whole_fan_outs import ORG, FanOutChurch, fan_out_church
from tests.simulators import SimulatorProcess

CATALOG = load_catalog()


async def read_church(church: FanOutChurch, ways: Sequence[Way], epoch: str) -> None:
    """Everything in full: the lists, then what is below parents."""
    client = await get_client_for_org(ORG, church.resources)
    for way in ways:
        if way.chain is None:
            await read_list(church, client, way.entity, epoch)
        else:
            await FanOutChurch(church.resources, church.simulator, way.entity.name).run(epoch)


async def read_list(church: FanOutChurch, client: PcoClient, entity: Entity, epoch: str) -> None:
    """A list at top level, by the steps of its flow."""
    resources = church.resources
    request = await run_request(
        resources,
        org_id=ORG,
        entity=entity,
        read_entity=entity,
        scope="",
        epoch=epoch,
        on_conflict="reject",
        mode="full",
    )
    opened, lease = await open_run(resources.database, request)
    assert isinstance(opened, Opened)
    assert lease is not None
    assert entity.list_path is not None
    sync, walks = await begin_walk(resources, client, opened.run, entity, path=entity.list_path, in_flight=4)
    await finish_walk(walks, sync, directly(resources.settings))
    async with resources.database.transaction() as connection:
        await finish_run(connection, opened.run, "completed")
    await lease.release()


async def versions(church: FanOutChurch, ways: Sequence[Way]) -> dict[str, list[tuple[str, str]]]:
    """Where every row version stands and which transaction wrote it, by table."""
    tables = [quoted_name(mirror_table(way.entity)) for way in ways]
    return {
        table: [tuple(row) for row in await church.sql(f"SELECT ctid::text, xmin::text FROM {table} ORDER BY ctid")]
        for table in (*tables, "sync.links")
    }


async def test_a_second_turn_of_a_whole_church_writes_no_row_and_no_link(database_url: str, redis_url: str) -> None:
    top, below = ways_of(CATALOG, select_entities(CATALOG, ["*"], []), mode="full", known=set())
    with SimulatorProcess(people=3, groups=1) as world:
        async with fan_out_church(world, "groups.Membership", database_url=database_url, redis_url=redis_url) as church:
            await read_church(church, [*top, *below], "first")
            before = await versions(church, [*top, *below])
            assert sum(bool(rows) for rows in before.values()) > 150, "most kinds have a record in the simulator"
            assert before["sync.links"]

            await read_church(church, [*top, *below], "second")

            assert await versions(church, [*top, *below]) == before
