"""Weeks of nights without a full sync, over HTTP: each list keeps its period, and the mirror ends exact."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from pco_catalog.catalog import load_catalog
from pco_store.clock import database_time
from pco_store.due.choosing import share_night
from pco_store.due.lists import due_kind_of, refresh_lists
from tasks.lifespan import get_client_for_org
from tests.integration.tasks.fan_out.test_deletions_below import delete, memberships_of, move
from tests.integration.tasks.pages.test_second_turn import read_list
from tests.integration.whole_fan_outs import ORG, FanOutChurch, fan_out_church
from tests.simulators import SimulatorProcess

MEMBERSHIPS = "groups.Membership"
ATTENDANCE = "groups.Attendance"
GROUPS = 4
PERIOD = 14
DAYS_GO_BY = (
    "UPDATE sync.lists SET last_read_at = last_read_at - {0}, due_at = due_at - {0}, changed_at = changed_at - {0}",
    "UPDATE groups.event SET starts_at = starts_at - {0}",
    *(
        f"UPDATE groups.{one} SET _synced_at = _synced_at - {{0}}, _deleted_at = _deleted_at - {{0}}"
        for one in ("group", "event", "membership", "attendance")
    ),
)


@dataclass
class Weeks:
    """A church of which memberships and attendance are read in nights, after one full sync."""

    kinds: tuple[FanOutChurch, ...]
    world: SimulatorProcess
    nights: int = 0
    gone: set[str] = field(default_factory=set)
    """What was deleted, of both kinds."""

    async def sql(self, statement: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in await self.kinds[0].sql(statement)]

    async def night(self, *, days: int = 1, budget: int = 1000) -> dict[str, int]:
        """Some days later: groups, then what is due below parents, within the budget; what each kind got of it."""
        self.nights += 1
        for statement in DAYS_GO_BY:
            await self.kinds[0].sql(statement.format(f"interval '{days} days'"))
        resources = self.kinds[0].resources
        client = await get_client_for_org(ORG, resources)
        epoch = f"night {self.nights}"
        await read_list(self.kinds[0], client, load_catalog().entity("groups.Group"), epoch)
        due = [due_kind_of(one.chain) for one in self.kinds]
        async with resources.database.transaction() as connection:
            for kind in due:
                await refresh_lists(connection, ORG, kind)
            now = await database_time(connection)
            shares = await share_night(connection, ORG, due, now=now, budget=budget)
        for one in self.kinds:
            if one.entity in shares:
                root = await one.run_due(epoch, most_requests=shares[one.entity].requests)
                await one.find_deletions(root)
        assert await self.buried() <= self.gone, "nothing that lives is ever buried"
        return {entity: share.requests for entity, share in shares.items()}

    async def buried(self) -> set[str]:
        return {f"{one.entity} {each}" for one in self.kinds for each in await one.buried()}

    async def differences(self) -> list[str]:
        return [each for one in self.kinds for each in await one.differences()]

    def delete(self, entity: str, *ids: str) -> None:
        delete(self.world, *ids, entity=entity)
        self.gone |= {f"{entity} {one}" for one in ids}

    def swap(self, group: int) -> None:
        """One leaves a group and another one joins it: its number of members stays."""
        self.delete(MEMBERSHIPS, memberships_of(self.world, group)[0])
        owner = self.world.state("groups.Group")[group]["id"]
        self.world.churn([{"operation": "create", "entity": MEMBERSHIPS, "relationships": {"group": owner}}])

    def exchange(self, first: int, second: int) -> None:
        """One of each group moves to the other one."""
        groups = [str(one["id"]) for one in self.world.state("groups.Group")]
        there, back = memberships_of(self.world, first)[1], memberships_of(self.world, second)[1]
        move(self.world, there, groups[second])
        move(self.world, back, groups[first])


@pytest.fixture
async def weeks(database_url: str, redis_url: str) -> AsyncIterator[Weeks]:
    """Groups that have met for eight weeks and meet for four weeks more."""
    with SimulatorProcess(people=40, groups=GROUPS, now=datetime.now(UTC)) as world:
        async with fan_out_church(world, MEMBERSHIPS, database_url=database_url, redis_url=redis_url) as members:
            attendance = FanOutChurch(members.resources, world, ATTENDANCE)
            weeks = Weeks((members, attendance), world)
            client = await get_client_for_org(ORG, members.resources)
            for name in ("groups.Group", "groups.Event"):
                await read_list(members, client, load_catalog().entity(name), "first")
            for one in weeks.kinds:
                await one.find_deletions(await one.run("first"))
            assert await weeks.differences() == []
            yield weeks


async def test_weeks_without_a_full_sync_end_exact_and_no_list_gets_older_than_its_period(weeks: Weeks) -> None:
    for night in range(8):
        weeks.swap(night % GROUPS)
        weeks.exchange(night % GROUPS, (night + 1) % GROUPS)
        weeks.delete(ATTENDANCE, str(weeks.world.state(ATTENDANCE)[night * 9]["id"]))
        await weeks.night()
    for _ in range(PERIOD // 2):
        await weeks.night(days=2)
        ((is_kept,),) = await weeks.sql(f"SELECT max(now() - last_read_at) <= interval '{PERIOD} days' FROM sync.lists")
        assert is_kept
    assert await weeks.differences() == []
    assert await weeks.buried() == weeks.gone


async def test_hot_windows_that_need_more_than_the_budget_keep_no_group_that_changed_from_being_read(
    weeks: Weeks,
) -> None:
    ((scope, days),) = await weeks.sql(
        "SELECT scope, ceil(extract(epoch FROM due_at - now()) / 86400)::int FROM sync.lists "
        f"WHERE entity = '{MEMBERSHIPS}' ORDER BY due_at LIMIT 1"
    )
    await weeks.night(days=int(str(days)))
    group = [str(one["id"]) for one in weeks.world.state("groups.Group")].index(str(scope))
    weeks.delete(MEMBERSHIPS, memberships_of(weeks.world, group)[0])
    weeks.delete(ATTENDANCE, str(weeks.world.state(ATTENDANCE)[100]["id"]))
    spent = [await weeks.night(budget=2) for _ in range(PERIOD - 2)]
    assert max(sum(one.values()) for one in spent) == 2
    ((waiting,),) = await weeks.sql(f"SELECT count(*) FROM sync.lists WHERE due_at < now() AND entity = '{ATTENDANCE}'")
    assert int(str(waiting)) > 0, "the budget was too small"
    assert {one for one in weeks.gone if one.startswith(MEMBERSHIPS)} <= await weeks.buried(), "before its turn"

    await weeks.night(days=PERIOD + 1)
    assert await weeks.differences() == []
    assert await weeks.buried() == weeks.gone
