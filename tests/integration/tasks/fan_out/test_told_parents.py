"""A whole fan-out of records whose parents only the path tells."""

from pco_store.ledger.run_facts import run_facts
from tasks.reports.outcomes import LACKING, end_of
from tests.integration.whole_fan_outs import FanOutChurch, fan_out_church
from tests.simulators import SimulatorProcess


async def test_what_only_the_path_tells_is_a_column_and_a_second_turn_writes_nothing(
    database_url: str, redis_url: str
) -> None:
    with SimulatorProcess(people=8, groups=2) as world:
        async with fan_out_church(
            world, "giving.PaymentMethod", database_url=database_url, redis_url=redis_url
        ) as church:
            await church.run("first")
            rows = await church.rows()
            listed = {
                (row.id, row.scope)
                for row in await church.sql(
                    "SELECT unnest(ids) AS id, scope FROM sync.pages JOIN sync.runs USING (run_id) "
                    "WHERE entity = 'giving.PaymentMethod' AND scope <> '*'"
                )
            }
            assert rows
            assert {(row["id"], row["person_id"]) for row in rows} == listed
            versions = "SELECT id, ctid::text FROM giving.payment_method ORDER BY id"
            before = await church.sql(versions)

            await church.run("second")

            assert await church.sql(versions) == before
            assert await church.differences() == []


async def test_what_is_included_so_that_records_name_it_is_a_column_and_every_list_is_requested_with_it(
    database_url: str, redis_url: str
) -> None:
    """Below some events, not below each of many people; both ancestors are known."""
    with SimulatorProcess(people=8, groups=2) as world:
        async with fan_out_church(
            world, "check-ins.PersonEvent", database_url=database_url, redis_url=redis_url
        ) as church:
            await church.run("first")
            lists = [one for one in world.access_log() if one["path"].endswith("/person_events")]
            assert lists
            assert all("include=person" in one["query"] for one in lists)
            assert {one["path"].split("/")[3] for one in lists} == {"events"}
            rows = await church.rows()
            named = {one["id"]: one for one in world.state("check-ins.PersonEvent")}
            assert {row["id"] for row in rows} == set(named)
            assert all(row["person_id"] and row["event_id"] for row in rows)
            people = {one["id"] for one in world.state("check-ins.Person")}
            assert {row["person_id"] for row in rows} <= people
            assert all("person" not in row["extra"].get("_relationships", {}) for row in rows)


async def end_of_run(church: FanOutChurch, epoch: str) -> tuple[str | None, str]:
    root = await church.run(epoch)
    await church.find_deletions(root)
    async with church.resources.database.transaction() as connection:
        end = end_of(await run_facts(connection, root.run_id))
    return end.name, end.reason


async def test_a_reading_whose_records_do_not_name_what_was_included_for_that_is_not_complete(
    database_url: str, redis_url: str
) -> None:
    with SimulatorProcess(people=8, groups=2) as world:
        async with fan_out_church(
            world, "check-ins.PersonEvent", database_url=database_url, redis_url=redis_url
        ) as church:
            world.faults([{"kind": "include-unknown", "include": "person", "permanent": True}])
            assert await end_of_run(church, "first") == (
                LACKING,
                "Planning Center does not name the person of some records",
            )
            rows = await church.rows()
            assert rows
            assert {row["person_id"] for row in rows} == {None}

            world.faults([])
            assert await end_of_run(church, "second") == (None, "")
            assert all(row["person_id"] for row in await church.rows())

            world.faults([{"kind": "include-unknown", "include": "person", "permanent": True}])
            assert (await end_of_run(church, "third"))[0] == LACKING
            assert all(row["person_id"] for row in await church.rows()), "what is not told erases nothing"
