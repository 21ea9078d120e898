"""A record that many parents share keeps a link to each of them, written only when there is something new."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog import load_catalog
from pco_store.database import Database
from pco_store.ledger.page_commit import PageOfRows, commit_page
from pco_store.ledger.runs import PageReceipt, RunHandle
from pco_store.mirror.links import SharedList, insert_links, shared_list, unlist
from pco_store.mirror.tables import mirror_table
from tasks.rows.transform import transform_page
from tests.integration.fan_outs import claim, insert, open_fan_out
from tests.integration.fan_outs import rows as found
from tests.integration.mirror import at

TAG = load_catalog().entity("groups.Tag")
PATH = "/groups/v2/groups/{group_id}/tags"
TAGS = mirror_table(TAG)


def tags_of(group: str) -> SharedList:
    named = shared_list(TAG, PATH, org_id="grace", scope=group)
    assert named is not None
    return named


async def child(store: Database, group: str, *, epoch: str = "e") -> RunHandle:
    """The run that reads the tags of a group, claimed."""
    root = await open_fan_out(store, epoch=epoch, entity=TAG.name)
    await insert(store, root, group)
    (run,) = (await claim(store, root, group)).runs
    return run


async def show(
    store: Database, run: RunHandle, *ids: str, observed: float | None = None, completes_run: bool = True
) -> PageReceipt:
    """Commit the page that shows these tags of the run's group, now unless said otherwise."""
    async with store.transaction() as connection:
        now = at(observed) if observed is not None else await connection.scalar(text("SELECT clock_timestamp()"))
        records = [{"type": "Tag", "id": one, "attributes": {"name": one}, "relationships": {}} for one in ids]
        page = transform_page(records, entity=TAG, org_id="grace", epoch=run.epoch, observed_at=now)
        receipt = PageReceipt(
            reading=1,
            offset=0,
            page_size=100,
            rows=len(ids),
            new=0,
            changed=0,
            unchanged=0,
            stale=0,
            misfits=0,
            quarantined=0,
            next_offset=None,
            total_count=len(ids),
            requests=1,
            waited_seconds=0.0,
        )
        return await commit_page(
            connection,
            PageOfRows(run=run, table=TAGS, rows=page.rows, receipt=receipt, ids=page.ids),
            completes_run=completes_run,
            shared=(tags_of(run.scope), now),
        )


async def links(store: Database) -> set[tuple[str, str, bool]]:
    """Group, tag, and whether the tag is listed there."""
    listed = await rows_of_links(store)
    return {(row.parent_id, row.id, row.unlisted_at is None) for row in listed}


async def rows_of_links(store: Database) -> Sequence[Any]:
    return await found(store, "SELECT *, ctid::text AS version FROM sync.links ORDER BY scope, id")


async def test_a_page_links_its_records_to_the_parent_whose_list_it_is(store: Database) -> None:
    await show(store, await child(store, "5"), "1", "2")
    await show(store, await child(store, "6"), "2")
    assert await links(store) == {("5", "1", True), ("5", "2", True), ("6", "2", True)}
    assert {(row.entity, row.parent, row.list) for row in await rows_of_links(store)} == {(TAG.name, "group", "tags")}


async def test_a_second_reading_of_what_is_linked_writes_nothing(store: Database) -> None:
    await show(store, await child(store, "5"), "1", "2")
    before = [row.version for row in await rows_of_links(store)]
    receipt = await show(store, await child(store, "5", epoch="second"), "1", "2")
    assert (receipt.new, receipt.changed, receipt.unchanged) == (0, 0, 2)
    assert [row.version for row in await rows_of_links(store)] == before


async def test_what_a_complete_reading_does_not_show_is_not_listed_there_any_more(store: Database) -> None:
    await show(store, await child(store, "5"), "1", "2")
    await show(store, await child(store, "6"), "1")
    await show(store, await child(store, "5", epoch="second"), "2")
    assert await links(store) == {("5", "1", False), ("5", "2", True), ("6", "1", True)}


async def test_an_incomplete_reading_takes_no_link_away(store: Database) -> None:
    await show(store, await child(store, "5"), "1", "2")
    run = await child(store, "5", epoch="second")
    await show(store, run, "2", completes_run=False)
    assert await links(store) == {("5", "1", True), ("5", "2", True)}

    async with store.transaction() as connection:
        await connection.execute(text("SELECT 1"))
        assert await unlist(connection, run.run_id, tags_of("5")) == 1
    assert await links(store) == {("5", "1", False), ("5", "2", True)}


async def test_a_record_that_is_listed_again_is_linked_again_and_an_older_page_does_not_do_it(store: Database) -> None:
    await show(store, await child(store, "5"), "1")
    await show(store, await child(store, "5", epoch="second"))
    assert await links(store) == {("5", "1", False)}
    async with store.transaction() as connection:
        await connection.execute(text("SELECT 1"))
        assert await insert_links(connection, ["1"], tags_of("5"), at(0)) == 0
    assert await links(store) == {("5", "1", False)}
    await show(store, await child(store, "5", epoch="third"), "1")
    assert await links(store) == {("5", "1", True)}


async def test_what_another_run_shows_meanwhile_or_stands_in_quarantine_stays_listed(store: Database) -> None:
    await show(store, await child(store, "5"), "1", "2", "3")
    slow = await child(store, "5", epoch="slow")
    await show(store, await child(store, "5", epoch="other"), "1", "2")
    async with store.transaction() as connection:
        await connection.execute(text("UPDATE sync.links SET unlisted_at = NULL"))
    async with store.transaction() as connection:
        await connection.execute(
            text(
                'INSERT INTO sync.quarantine (org_id, entity, run_id, reading, "offset", record_id, reason) '
                "VALUES ('grace', 'groups.Tag', :run_id, 1, 0, '3', 'odd')"
            ),
            {"run_id": slow.run_id},
        )
    await show(store, slow)
    assert await links(store) == {("5", "1", True), ("5", "2", True), ("5", "3", True)}


async def test_a_page_of_somebody_who_lost_the_run_links_nothing(store: Database) -> None:
    run = await child(store, "5")
    async with store.transaction() as connection:
        await connection.execute(text("UPDATE sync.runs SET fence = fence + 1 WHERE run_id = :id"), {"id": run.run_id})
    with pytest.raises(Exception, match="another execution"):
        await show(store, run, "1")
    assert await links(store) == set()


async def test_lists_of_two_kinds_of_parents_with_the_same_id_do_not_mix(store: Database) -> None:
    """Person 5 and song 5 both list services tags."""
    tag = load_catalog().entity("services.Tag")
    of_person = shared_list(tag, "/services/v2/people/{person_id}/tags", org_id="grace", scope="5")
    of_song = shared_list(tag, "/services/v2/songs/{song_id}/tags", org_id="grace", scope="5")
    assert of_person is not None
    assert of_song is not None
    run = await child(store, "5")
    async with store.transaction() as connection:
        await connection.execute(text("SELECT 1"))
        assert await insert_links(connection, ["1", "2"], of_person, at(0)) == 2
        assert await insert_links(connection, ["1", "3"], of_song, at(0)) == 2
        assert await unlist(connection, run.run_id, of_person) == 2
    listed = {(row.parent, row.id): row.unlisted_at is None for row in await rows_of_links(store)}
    assert listed == {("person", "1"): False, ("person", "2"): False, ("song", "1"): True, ("song", "3"): True}


async def test_a_list_finds_its_links_by_their_key_when_the_table_has_grown(store: Database) -> None:
    """The statement is prepared when the table is empty, and its plan is kept."""
    async with store.transaction() as connection:
        await connection.execute(text("SELECT 1"))
        for number in range(600):
            await insert_links(connection, [str(number % 7), "all"], tags_of(str(number)), at(0))
        before = await links_looked_at(connection)
        assert await insert_links(connection, ["3", "all"], tags_of("700"), at(0)) == 2
        assert await insert_links(connection, ["3", "all"], tags_of("700"), at(0)) == 0
        await unlist(connection, 1, tags_of("300"))
        assert await links_looked_at(connection) - before <= 20


async def links_looked_at(connection: AsyncConnection) -> int:
    """By this session; it reports them between transactions."""
    found = await connection.execute(
        text(
            "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables "
            "WHERE schemaname = 'sync' AND relname = 'links'"
        )
    )
    return int(found.scalar_one())
