"""What several parents share leaves them one by one: with each ends a link, and the row when nothing lists it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tasks.deletions.from_a_list import Deletions
from tests.integration.whole_fan_outs import FanOutChurch, fan_out_church
from tests.simulators import SimulatorProcess

TAG = "groups.Tag"
APP_USER = "api.ConnectedApplicationPerson"
"""Nothing but its links tells where it stands."""
PERSON = "groups.Person"
"""It has a list at top level, too."""


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church of three groups and three tags."""
    with SimulatorProcess(people=6, groups=3) as simulator:
        yield simulator


@pytest.fixture
async def tags(world: SimulatorProcess, database_url: str, redis_url: str) -> AsyncIterator[FanOutChurch]:
    """Its tags, mirrored from the lists of its groups. Two groups share the first one."""
    share(world, TAG, "group", owners(world, "groups.Group")[:2])
    async with fan_out_church(
        world, TAG, below=("groups.Group",), database_url=database_url, redis_url=redis_url
    ) as church:
        await read(church, "first")
        yield church


@pytest.fixture
async def app_users(world: SimulatorProcess, database_url: str, redis_url: str) -> AsyncIterator[FanOutChurch]:
    """The people of connected applications, mirrored. Two applications share the first one."""
    share(world, APP_USER, "connected_application", owners(world, "api.ConnectedApplication")[:2])
    async with fan_out_church(world, APP_USER, database_url=database_url, redis_url=redis_url) as church:
        await read(church, "first")
        yield church


def owners(world: SimulatorProcess, kind: str) -> list[str]:
    return [str(one["id"]) for one in world.state(kind)]


def first(world: SimulatorProcess, kind: str) -> str:
    return str(world.state(kind)[0]["id"])


def share(world: SimulatorProcess, kind: str, parent: str, ids: list[str]) -> None:
    """From now on the first record of a kind stands in the lists of these parents, and in no others of that kind."""
    change = {"operation": "edit", "entity": kind, "id": first(world, kind), "relationships": {parent: ids}}
    world.churn([change])


async def read(church: FanOutChurch, epoch: str) -> Deletions | None:
    """A whole fan-out, and what it finds deleted."""
    return await church.find_deletions(await church.run(epoch))


async def links(church: FanOutChurch, one: str) -> dict[str, bool]:
    """The parents that a record is linked to, and whether they still list it."""
    found = await church.sql("SELECT scope, unlisted_at IS NULL AS listed FROM sync.links WHERE id = :id", id=one)
    return {row.scope: row.listed for row in found}


async def test_a_record_that_only_its_parents_lists_show_stays_until_it_has_left_the_last_of_them(
    app_users: FanOutChurch, world: SimulatorProcess
) -> None:
    one, (left, kept) = first(world, APP_USER), owners(world, "api.ConnectedApplication")[:2]
    assert await links(app_users, one) == {left: True, kept: True}

    share(world, APP_USER, "connected_application", [kept])
    assert await read(app_users, "second") == Deletions()
    assert await links(app_users, one) == {kept: True}
    assert await app_users.buried() == set()

    share(world, APP_USER, "connected_application", [])
    found = await read(app_users, "third")
    assert found is not None
    assert (found.verdict, found.missing, found.deleted) == ("confirmed", 1, 1)
    assert await links(app_users, one) == {}
    assert await app_users.buried() == {one}

    share(world, APP_USER, "connected_application", [left])
    await read(app_users, "fourth")
    assert await links(app_users, one) == {left: True}
    assert await app_users.buried() == set()


async def test_a_night_buries_what_two_parents_share_when_the_second_one_does_not_list_it_either(
    app_users: FanOutChurch, world: SimulatorProcess
) -> None:
    one, (left, kept) = first(world, APP_USER), owners(world, "api.ConnectedApplication")[:2]
    share(world, APP_USER, "connected_application", [kept])
    assert await app_users.find_deletions(await app_users.run_due("night", left)) == Deletions()
    assert await links(app_users, one) == {kept: True}
    assert await app_users.differences() == []

    world.churn([{"operation": "delete", "entity": APP_USER, "id": one}])
    assert await app_users.find_deletions(await app_users.run_due("next night", left)) == Deletions()
    found = await app_users.find_deletions(await app_users.run_due("third night", kept))
    assert found == Deletions(verdict="confirmed", missing=1, deleted=1)
    assert await app_users.buried() == {one}
    assert await app_users.differences() == []


async def test_a_parent_that_is_gone_takes_with_it_what_nobody_else_lists(
    app_users: FanOutChurch, world: SimulatorProcess
) -> None:
    one, (gone, kept) = first(world, APP_USER), owners(world, "api.ConnectedApplication")[:2]
    alone = str(world.state(APP_USER)[1]["id"])
    change = {"entity": APP_USER, "id": alone}
    world.churn([{"operation": "edit", **change, "relationships": {"connected_application": [gone]}}])
    await read(app_users, "second")
    assert await links(app_users, alone) == {gone: True}
    world.churn([{"operation": "delete", **change}])
    world.churn([{"operation": "delete", "entity": "api.ConnectedApplication", "id": gone}])
    await app_users.sql("UPDATE api.connected_application SET _deleted_at = now() WHERE id = :gone", gone=gone)

    await app_users.find_deletions(await app_users.run_due("night"))

    assert await app_users.buried() == {alone}
    assert await links(app_users, one) == {kept: True}
    assert await app_users.differences() == []


async def test_a_tag_that_leaves_its_last_group_stays_as_long_as_its_tag_group_lists_it(
    tags: FanOutChurch, world: SimulatorProcess
) -> None:
    one, (left, kept) = first(world, TAG), owners(world, "groups.Group")[:2]
    assert await links(tags, one) == {left: True, kept: True}

    share(world, TAG, "group", [kept])
    assert await read(tags, "second") == Deletions()
    assert await links(tags, one) == {kept: True}

    share(world, TAG, "group", [])
    found = await read(tags, "third")
    assert found is not None
    assert (found.verdict, found.missing, found.deleted) == ("confirmed", 1, 0)
    assert await links(tags, one) == {}
    assert await tags.buried() == set()


async def test_a_tag_that_is_deleted_leaves_all_its_groups_and_gets_its_tombstone(
    tags: FanOutChurch, world: SimulatorProcess
) -> None:
    one = first(world, TAG)
    world.churn([{"operation": "delete", "entity": TAG, "id": one}])
    found = await read(tags, "second")
    assert found is not None
    assert (found.verdict, found.missing, found.deleted) == ("confirmed", 1, 1)
    assert await links(tags, one) == {}
    assert await tags.buried() == {one}
    assert await tags.differences() == []


async def test_a_link_that_has_ended_says_where_to_ask_until_it_is_settled(
    app_users: FanOutChurch, world: SimulatorProcess
) -> None:
    one, both = first(world, APP_USER), owners(world, "api.ConnectedApplication")[:2]
    share(world, APP_USER, "connected_application", [])
    root = await app_users.run("second")
    assert await links(app_users, one) == dict.fromkeys(both, False)
    world.reset_log()
    await app_users.find_deletions(root)
    asked = [line["path"] for line in world.access_log() if line["path"].endswith(f"/people/{one}")]
    assert sorted(asked) == sorted(2 * [f"/api/v2/connected_applications/{app}/people/{one}" for app in both])
    assert await links(app_users, one) == {}


async def test_who_has_left_the_last_group_stays_as_long_as_the_list_at_top_level_has_them(
    world: SimulatorProcess, database_url: str, redis_url: str
) -> None:
    one, kept = first(world, PERSON), owners(world, "groups.Group")[0]
    share(world, PERSON, "group", [kept])
    async with fan_out_church(
        world, PERSON, below=("groups.Group",), database_url=database_url, redis_url=redis_url
    ) as church:
        await read(church, "first")
        assert await links(church, one) == {kept: True}

        share(world, PERSON, "group", [])
        world.reset_log()
        found = await read(church, "second")
        assert found is not None
        assert (found.verdict, found.missing, found.deleted) == ("confirmed", 1, 0)
        assert await links(church, one) == {}
        assert await church.buried() == set()
        shown = [line["path"] for line in world.access_log() if line["path"].endswith(f"/people/{one}")]
        assert shown == [f"/groups/v2/people/{one}"], "where they are shown nobody asks further"

        share(world, PERSON, "group", [kept])
        await read(church, "third")
        world.churn([{"operation": "delete", "entity": PERSON, "id": one}])
        await read(church, "fourth")
        assert await church.buried() == {one}
