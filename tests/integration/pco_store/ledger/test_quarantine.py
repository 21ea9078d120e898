"""What could not be stored is kept raw until it is seen again or a later complete run settles it, church by church."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from pco_store.database import Database
from pco_store.ledger.fan_out.children import end_child
from pco_store.ledger.fan_out.fan_outs import complete_if_done, count_children, mark_awaiting_children
from pco_store.ledger.leases import open_run
from pco_store.ledger.openings import Opened
from pco_store.ledger.quarantine.items import OpenItem, Quarantined, list_quarantined, put_quarantined, resolve_items
from pco_store.ledger.quarantine.superseded import resolve_superseded
from pco_store.ledger.runs import RunHandle
from tests.integration.fan_outs import MEMBERSHIPS, claim, commit_page, insert, open_fan_out
from tests.integration.mirror import at
from tests.integration.requests import run_request

RECORD = Quarantined(
    org_id="grace",
    entity="people.Person",
    run_id=1,
    reading=1,
    offset=100,
    record_id="7",
    reason="the record has no type",
    raw='{"id": "7", "nul": "\\u0000", "lone": "\\ud800"}',
)
PLACE = replace(RECORD, record_id=None, reason="cannot be fetched", raw=None)


async def put(store: Database, *items: Quarantined) -> None:
    async with store.transaction() as connection:
        await put_quarantined(connection, items)


async def waiting(store: Database, org_id: str = "grace", entity: str | None = None) -> list[OpenItem]:
    async with store.transaction() as connection:
        return await list_quarantined(connection, org_id, entity)


def are(found: list[OpenItem], *items: Quarantined) -> bool:
    """Whether these were found, in this order."""
    names = ("org_id", "entity", "offset", "record_id", "reason", "raw")
    return [[getattr(one, name) for name in names] for one in found] == [
        [getattr(one, name) for name in names] for one in items
    ]


async def test_items_are_kept_as_they_were_and_listed_oldest_first(store: Database) -> None:
    nameless = replace(RECORD, record_id=None)
    await put(store, RECORD)
    await put(store, PLACE, nameless)
    assert are(await waiting(store), RECORD, PLACE, nameless)


async def test_they_are_listed_in_parts_with_when_they_were_seen_and_in_which_epoch(store: Database) -> None:
    run = await a_run(store, "monday")
    await put(store, replace(RECORD, run_id=run.run_id, observed_at=at(3)), PLACE)
    async with store.transaction() as connection:
        (first,) = await list_quarantined(connection, "grace", limit=1)
        (second,) = await list_quarantined(connection, "grace", after=first.quarantine_id, limit=9)
    assert (first.observed_at, first.epoch, first.raw) == (at(3), "monday", RECORD.raw)
    assert second.raw is None


async def test_nothing_to_keep_is_nothing_kept(store: Database) -> None:
    await put(store)
    assert await waiting(store) == []


async def test_they_are_listed_by_church_and_by_entity(store: Database) -> None:
    faith, group = replace(RECORD, org_id="faith"), replace(RECORD, entity="groups.Group")
    await put(store, RECORD, faith, group)
    assert are(await waiting(store), RECORD, group)
    assert are(await waiting(store, "grace", "groups.Group"), group)
    assert are(await waiting(store, "faith"), faith)


async def test_what_is_settled_is_not_listed(store: Database) -> None:
    await put(store, RECORD, PLACE)
    first, second = await waiting(store)
    async with store.transaction() as connection:
        await resolve_items(connection, [first.quarantine_id])
    assert await waiting(store) == [second]


async def test_a_record_that_a_later_run_puts_aside_again_is_listed_once(store: Database) -> None:
    await put(store, RECORD)
    later = replace(RECORD, run_id=2, offset=0)
    await put(store, later)
    assert are(await waiting(store), later)


async def test_a_place_or_a_record_without_id_may_be_another_one_at_the_same_offset_of_another_list(
    store: Database,
) -> None:
    nameless = replace(RECORD, record_id=None)
    await put(store, PLACE, nameless)
    await put(store, replace(PLACE, run_id=2), replace(nameless, run_id=2))
    assert len(await waiting(store)) == 4


async def test_another_record_and_another_church_stay_listed(store: Database) -> None:
    await put(store, RECORD, replace(RECORD, org_id="faith"))
    await put(store, replace(RECORD, run_id=2, record_id="8"))
    assert len(await waiting(store)) == 2
    assert len(await waiting(store, "faith")) == 1


async def a_run(store: Database, epoch: str) -> RunHandle:
    opened, lease = await open_run(store, run_request(epoch=epoch))
    assert isinstance(opened, Opened)
    assert lease is not None
    await lease.release()
    return lease.run


async def settled_by(store: Database, run: RunHandle, entity: str = "people.Person") -> int:
    async with store.transaction() as connection:
        return await resolve_superseded(connection, run, entity=entity)


async def test_a_later_complete_run_settles_what_earlier_ones_put_aside_and_not_what_it_puts_aside_itself(
    store: Database,
) -> None:
    first = await a_run(store, "monday")
    await put(store, *(replace(one, run_id=first.run_id) for one in (RECORD, PLACE)))
    others = [replace(RECORD, run_id=first.run_id, entity="groups.Group")]
    await put(store, *others, replace(RECORD, org_id="faith", run_id=first.run_id))
    second = await a_run(store, "tuesday")
    own = replace(PLACE, run_id=second.run_id, offset=3)
    await put(store, own)

    assert await settled_by(store, second) == 2
    assert await settled_by(store, second) == 0

    assert are(await waiting(store), *others, own)
    assert len(await waiting(store, "faith")) == 1


async def test_what_was_seen_after_the_later_run_began_is_not_settled_by_it(store: Database) -> None:
    first, second = await a_run(store, "monday"), await a_run(store, "tuesday")
    await put(store, replace(PLACE, run_id=first.run_id))  # the older one was continued
    assert await settled_by(store, second) == 0


@pytest.mark.parametrize(("seconds", "settled"), [(0.9, 1), (1.1, 0)])
async def test_a_window_settles_what_was_seen_until_the_second_in_which_it_ends(
    store: Database, seconds: float, settled: int
) -> None:
    first, second = await a_run(store, "monday"), await a_run(store, "tuesday")
    await put(store, replace(PLACE, run_id=first.run_id, observed_at=at(seconds / 3600)))
    async with store.transaction() as connection:
        await connection.execute(
            text("UPDATE sync.runs SET window_until = :until WHERE run_id = :id"),
            {"until": at(0), "id": second.run_id},
        )
    assert await settled_by(store, second) == settled


def below(run: RunHandle, offset: int = 0) -> Quarantined:
    """A place in the list of a child."""
    return replace(PLACE, entity=run.entity, run_id=run.run_id, offset=offset)


async def fan_out_with(store: Database, epoch: str, *scopes: str, entity: str = MEMBERSHIPS) -> list[RunHandle]:
    """A fan-out and its children, claimed and running."""
    way = ("groups.Group",) if entity == MEMBERSHIPS else ("groups.GroupType",)
    root = await open_fan_out(store, epoch=epoch, entity=MEMBERSHIPS, below=way)
    await insert(store, root, *scopes)
    return [root, *(await claim(store, root, *scopes)).runs]


async def complete(store: Database, root: RunHandle, *done: RunHandle) -> None:
    """These children are read, the others are dead, and that was all."""
    for child in done:
        async with store.transaction() as connection:
            await end_child(connection, child, "completed")
    async with store.transaction() as connection:
        await connection.execute(
            text("UPDATE sync.runs SET state = 'dead' WHERE parent_run_id = :id AND state = 'running'"),
            {"id": root.run_id},
        )
        await mark_awaiting_children(connection, root)
        assert await complete_if_done(connection, root.run_id)


async def test_a_later_fan_out_settles_the_lists_that_it_has_read_itself(store: Database) -> None:
    root, *children = await fan_out_with(store, "monday", "1", "2", "3")
    await put(store, *(below(child) for child in children))
    await complete(store, root, *children)
    async with store.transaction() as connection:
        assert (await count_children(connection, root.run_id)).quarantined == 3

    later, one, dead = await fan_out_with(store, "tuesday", "1", "2")  # the parent of the third is gone
    await put(store, below(one, offset=5))
    await complete(store, later, one)

    left = {(item.epoch, item.offset) for item in await waiting(store)}
    assert left == {("monday", 0), ("tuesday", 5)}
    async with store.transaction() as connection:
        assert (await count_children(connection, root.run_id)).quarantined == 2
        assert (await count_children(connection, later.run_id)).quarantined == 1
    assert dead.scope == "2"


async def test_a_fan_out_on_another_way_has_read_other_lists_under_the_same_ids(store: Database) -> None:
    root, child = await fan_out_with(store, "monday", "1", entity="another way")
    await put(store, below(child))
    await complete(store, root, child)

    later, same = await fan_out_with(store, "tuesday", "1")
    await complete(store, later, same)

    assert len(await waiting(store)) == 1


async def test_whoever_reads_the_list_of_the_parents_settles_it_be_it_a_sync_or_a_fan_out(store: Database) -> None:
    plain = await a_run(store, "monday")
    group = replace(PLACE, entity="groups.Group")
    await put(store, replace(group, run_id=plain.run_id))

    root, child = await fan_out_with(store, "tuesday", "1")
    assert len(await waiting(store)) == 1
    await commit_page(store, root, ids=["1"])
    await complete(store, root, child)
    assert await waiting(store) == []

    await put(store, replace(group, run_id=root.run_id), below(child))
    assert await settled_by(store, await a_run(store, "wednesday"), "groups.Group") == 1
    assert are(await waiting(store), below(child))


async def test_what_came_with_all_owners_settles_what_was_read_below_each_of_them_but_for_those_aside(
    store: Database,
) -> None:
    root, child, other = await fan_out_with(store, "monday", "1", "2")
    await put(store, below(child), below(other))
    await complete(store, root, child, other)
    owners, member = await a_run(store, "tuesday"), await a_run(store, "wednesday")
    async with store.transaction() as connection:
        await connection.execute(
            text("UPDATE sync.runs SET read_with = :owners WHERE run_id = :member"),
            {"owners": owners.run_id, "member": member.run_id},
        )
    unreadable = replace(RECORD, entity="groups.Group", run_id=owners.run_id, record_id="2")
    await put(store, unreadable)

    assert await settled_by(store, member, MEMBERSHIPS) == 1
    assert are(await waiting(store), below(other), unreadable)
    assert await settled_by(store, owners, MEMBERSHIPS) == 0, "it has read its own list only"
