"""Age is the contract of a list below a parent: what makes it due, in which order lists are read, within a budget."""

from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import text

from pco_store.database import Database
from pco_store.due.choosing import all_lists
from tests.integration.nights import DAY, ORG, Nights

GROUPS = 60


@pytest.fixture
async def nights(store: Database) -> Nights:
    """A church of which the mirror knows nothing yet."""
    async with store.transaction() as connection:
        await connection.execute(
            text("TRUNCATE sync.lists, people.person, people.household, giving.person, groups.group, groups.event")
        )
    return Nights(store)


@pytest.fixture
async def groups(store: Database, nights: Nights) -> Nights:
    """The memberships of some groups, all read tonight."""
    nights.entities = ("groups.Membership",)
    await nights.add("groups.group", 1, GROUPS, memberships_count="15")
    await nights.refresh()
    await nights.read_everything()
    return nights


@pytest.fixture
async def events(nights: Nights) -> Nights:
    """The attendances of no event yet."""
    nights.entities = ("groups.Attendance",)
    return nights


async def count(nights: Nights) -> int:
    """How many lists are kept."""
    ((counted,),) = await nights.sql("SELECT count(*) FROM sync.lists")
    return int(counted)


async def read_on_days(nights: Nights, days: int) -> dict[str, list[int]]:
    """On which of the next nights each list is read."""
    found: dict[str, list[int]] = {}
    for day in range(1, days + 1):
        nights.now += DAY
        for scopes in (await nights.chosen(1_000_000)).values():
            for scope in scopes:
                found.setdefault(scope, []).append(day)
            await nights.sql(
                "UPDATE sync.lists SET last_read_at = :now WHERE scope = ANY(:scopes)", scopes=list(scopes)
            )
    return found


async def test_thirty_nights_after_a_full_sync_keep_the_budget_and_no_list_gets_older_than_its_period(
    nights: Nights,
) -> None:
    """A fortieth of a church of 20,000 people with 1,000 groups that meet weekly."""
    await nights.settle_in(people=500, groups=25, past_events=200, weekly_events=25)
    await nights.read_everything()
    for _ in range(30):
        await nights.night(150)
        for kind in nights.kinds:
            assert await nights.oldest(kind.entity.name) <= (kind.rule.every_days + 1) * DAY
    costs = [night.total() for night in nights.requests]
    assert max(costs) <= 150, "a fortieth of 6,000"
    assert min(costs[1:]) > 75


async def test_a_list_is_read_once_in_its_period_and_those_read_together_come_due_on_different_nights(
    groups: Nights,
) -> None:
    found = await read_on_days(groups, 28)
    assert len(found) == GROUPS
    assert {later - earlier for earlier, later in found.values()} == {14}
    first = [earlier for earlier, _ in found.values()]
    assert max(first) <= 14
    assert max(first.count(day) for day in first) <= GROUPS // 4


async def test_a_list_that_nobody_has_read_is_due_at_once(groups: Nights) -> None:
    await groups.add("groups.group", 1000, 1)
    ((_, scopes),) = (await groups.chosen(1_000_000)).items()
    assert "1000" in scopes


async def test_a_change_that_is_watched_makes_a_list_due_and_no_other_change_does(groups: Nights) -> None:
    quiet = set(next(iter((await groups.chosen(1_000_000)).values()), ()))
    await groups.sql("UPDATE groups.group SET memberships_count = 16, name = 'x' WHERE id = '7'")
    await groups.sql("UPDATE groups.group SET name = 'x' WHERE id = '8'")
    groups.now += timedelta(minutes=1)
    ((_, scopes),) = (await groups.chosen(1_000_000)).items()
    assert set(scopes) - quiet == {"7"}


async def test_a_change_that_is_seen_after_the_list_was_requested_keeps_it_due(groups: Nights) -> None:
    requested_at = groups.now + timedelta(minutes=1)
    groups.now += timedelta(minutes=2)
    await groups.sql("UPDATE groups.group SET memberships_count = 16 WHERE id = '7'")
    await groups.refresh()
    await groups.sql("UPDATE sync.lists SET last_read_at = :at WHERE scope = '7'", at=requested_at)
    await groups.refresh()
    ((due,),) = await groups.sql("SELECT due_at <= :now FROM sync.lists WHERE scope = '7'")
    assert due

    await groups.sql("UPDATE sync.lists SET last_read_at = :now WHERE scope = '7'")
    await groups.refresh()
    ((due,),) = await groups.sql("SELECT due_at <= :now FROM sync.lists WHERE scope = '7'")
    assert not due


async def test_the_people_of_a_household_are_watched_in_whatever_order_pco_names_them(nights: Nights) -> None:
    nights.entities = ("people.HouseholdMembership",)
    people = """jsonb_build_object('_relationships', jsonb_build_object('people', jsonb_build_object('data',
                jsonb_build_array(jsonb_build_object('id', '{}'), jsonb_build_object('id', '{}')))))"""
    await nights.add("people.household", 1, 3, extra=people.format(1, 2))
    await nights.refresh()
    await nights.read_everything()
    await nights.sql(f"UPDATE people.household SET extra = {people.format(2, 1)} WHERE id = '1'")
    await nights.sql(f"UPDATE people.household SET extra = {people.format(1, 3)} WHERE id = '2'")
    nights.now += timedelta(minutes=1)
    await nights.refresh()
    changed = await nights.sql("SELECT scope FROM sync.lists WHERE changed_at IS NOT NULL")
    assert [row.scope for row in changed] == ["2"]


async def test_a_past_event_is_read_after_1_2_3_7_14_and_28_days_and_then_with_the_rest(events: Nights) -> None:
    await events.add("groups.event", 1, 1, starts_at=":now - interval '12 hours'")
    await events.refresh()
    await events.read_everything()
    found = (await read_on_days(events, 60))["1"]
    nights_after = [1, 2, 3, 7, 14, 28]
    assert set(nights_after) <= set(found)
    assert max(later - earlier for earlier, later in pairwise(found)) <= 14
    assert len(found) <= len(nights_after) + 60 // 14 + 1


async def test_the_attendance_of_an_event_is_listed_once_it_has_begun(events: Nights) -> None:
    await events.add("groups.event", 1, 1, starts_at=":now + interval '40 hours'")
    await events.add("groups.event", 2, 1)
    await events.refresh()
    await events.sql("UPDATE sync.lists SET last_read_at = :now")
    assert "1" not in await read_on_days(events, 1)
    assert (await read_on_days(events, 2))["1"] == [1, 2]


async def test_a_first_full_sync_reads_the_events_of_the_last_weeks_first(events: Nights, store: Database) -> None:
    await events.add("groups.event", 1, 3, starts_at=":now - n * interval '20 days'")
    await events.add("groups.event", 4, 1, starts_at=":now - interval '2 days'")
    await events.refresh()
    async with store.transaction() as connection:
        scopes = await all_lists(connection, ORG, events.kinds[0], now=events.now)
    assert scopes == ("1", "4", "2", "3")


async def test_an_event_that_moves_moves_its_hot_window(events: Nights) -> None:
    await events.add("groups.event", 1, 1, starts_at=":now - interval '100 days'")
    await events.refresh()
    await events.read_everything()
    await events.sql("UPDATE groups.event SET starts_at = :now - interval '1 day'")
    found = (await read_on_days(events, 3))["1"]
    assert found == [1, 2]


async def test_hot_windows_that_need_more_than_the_budget_do_not_keep_the_rest_from_being_read(
    nights: Nights,
) -> None:
    """200 events of the last four weeks every night, of which the budget reads a tenth as often as it should."""
    nights.entities = ("groups.Membership", "groups.Attendance")
    await nights.add("groups.group", 1, 28)
    await nights.add("groups.event", 1, 200, starts_at=":now - interval '28 days' + n * interval '200 minutes'")
    await nights.refresh()
    await nights.read_everything()
    for _ in range(90):
        await nights.sql("UPDATE groups.event SET starts_at = starts_at + interval '1 day'")
        await nights.night(4)
    late = await nights.sql(
        "SELECT max(extract(epoch FROM :now - due_at) / pace_seconds) AS periods FROM sync.lists GROUP BY entity"
    )
    assert max(one.periods for one in late) - min(one.periods for one in late) <= 2, "all kinds are as late"
    assert await nights.oldest("groups.Membership") < 70 * DAY
    assert sum(night["groups.Attendance"] for night in nights.requests) > 200


async def test_rare_kinds_are_read_when_nothing_else_is_due_however_long_they_wait(nights: Nights) -> None:
    nights.entities = ("groups.Membership", "people.ConnectedPerson")
    await nights.add("people.person", 1, 5)
    await nights.refresh()
    nights.now += 300 * DAY
    await nights.add("groups.group", 1, 6)
    assert {path.split("/")[3] for path in await nights.chosen(6)} == {"groups"}
    found = await nights.chosen(8)
    assert sorted(len(scopes) for scopes in found.values()) == [2, 6]


async def test_a_list_is_begun_if_the_budget_has_room_for_all_of_it_or_if_it_waits_longest(groups: Nights) -> None:
    """Else one that is larger than any night would keep all others from being read."""
    await groups.sql(
        "UPDATE sync.lists SET requests = CASE scope WHEN '7' THEN 30 ELSE 5 END, last_read_at = last_read_at "
        "- CASE scope WHEN '7' THEN interval '30 days' ELSE interval '60 days' END WHERE scope IN ('7', '8')"
    )
    ((_, scopes),) = (await groups.chosen(35)).items()
    assert scopes == ("8", "7")
    assert (await groups.night(34)).lists == 1
    assert groups.requests[-1].total() == 5
    await groups.night(20)
    assert groups.requests[-1].total() == 30
    assert await groups.chosen(0) == {}


async def test_a_list_that_was_never_read_counts_like_the_others_of_its_kind(groups: Nights) -> None:
    await groups.sql("UPDATE sync.lists SET requests = 1 + (scope::int % 2) * 4")
    await groups.add("groups.group", 1000, 10)
    ((_, scopes),) = (await groups.chosen(20)).items()
    assert len(scopes) == 20 // 3


async def test_what_waits_is_counted_with_what_was_never_read_and_how_long_it_waits(groups: Nights) -> None:
    await groups.night()
    await groups.add("groups.group", 1000, 2)
    groups.now += DAY
    await groups.night(0)
    groups.now += 8 * DAY
    waiting = await groups.night(0)
    assert waiting.never_read == 2
    assert waiting.lists > 2
    assert timedelta(days=9) <= waiting.longest <= timedelta(days=11)


async def test_a_list_whose_parent_is_gone_is_due_once_more_and_then_forgotten(groups: Nights) -> None:
    await groups.sql("UPDATE groups.group SET _deleted_at = :now WHERE id = '7'")
    groups.now += timedelta(minutes=1)
    ((_, scopes),) = (await groups.chosen(1_000_000)).items()
    assert "7" in scopes
    groups.now += timedelta(minutes=1)
    await groups.sql("UPDATE sync.lists SET last_read_at = :now WHERE scope = '7'")
    await groups.refresh()
    assert await count(groups) == GROUPS - 1
    await groups.refresh()
    assert await count(groups) == GROUPS - 1, "it does not come back"


async def noted(groups: Nights, scope: str) -> None:
    """As a fan-out notes what it has read: it does not know the parent's version."""
    await groups.sql(
        "UPDATE sync.lists SET parent_seen = NULL, changed_at = NULL, last_read_at = :now, due_at = :now "
        "WHERE scope = :scope",
        scope=scope,
    )


async def test_a_list_that_a_fan_out_has_noted_of_a_parent_that_was_gone_before_is_forgotten(groups: Nights) -> None:
    await groups.sql("UPDATE groups.group SET _deleted_at = :now - interval '1 hour' WHERE id = '7'")
    await noted(groups, "7")
    await groups.refresh()
    assert await count(groups) == GROUPS - 1


async def test_one_of_a_parent_that_went_after_it_was_read_is_due_once_more(groups: Nights) -> None:
    await noted(groups, "7")
    groups.now += timedelta(hours=1)
    await groups.sql("UPDATE groups.group SET _deleted_at = :now WHERE id = '7'")
    groups.now += timedelta(hours=1)
    ((_, scopes),) = (await groups.chosen(1_000_000)).items()
    assert "7" in scopes
    await groups.refresh()
    assert await count(groups) == GROUPS, "nobody has read it yet"
    groups.now += timedelta(minutes=1)
    await groups.sql("UPDATE sync.lists SET last_read_at = :now WHERE scope = '7'")
    await groups.refresh()
    assert await count(groups) == GROUPS - 1


async def test_a_parent_that_was_written_after_its_list_was_requested_keeps_it_due(groups: Nights) -> None:
    """Nobody knows of which version the list was."""
    await noted(groups, "7")
    groups.now += timedelta(hours=1)
    await groups.sql("UPDATE groups.group SET _synced_at = :now WHERE id = '7'")
    ((_, scopes),) = (await groups.chosen(1_000_000)).items()
    assert "7" in scopes


async def test_what_an_attribute_decides_is_not_listed_until_it_says_so(nights: Nights) -> None:
    nights.entities = ("giving.DesignationRefund",)
    await nights.sql("TRUNCATE giving.donation")
    await nights.add("giving.donation", 1, 3, refunded="n = 2")
    await nights.refresh()
    assert [row.scope for row in await nights.sql("SELECT scope FROM sync.lists")] == ["2"]
    await nights.sql("UPDATE giving.donation SET refunded = true WHERE id = '3'")
    await nights.refresh()
    assert [row.scope for row in await nights.sql("SELECT scope FROM sync.lists ORDER BY scope")] == ["2", "3"]


async def test_a_second_look_at_the_same_mirror_writes_nothing(groups: Nights) -> None:
    before = await groups.sql("SELECT xmin::text, * FROM sync.lists ORDER BY scope")
    await groups.refresh()
    assert await groups.sql("SELECT xmin::text, * FROM sync.lists ORDER BY scope") == before


async def test_after_a_year_of_nights_without_a_full_sync_no_list_is_older_than_its_period(groups: Nights) -> None:
    for _ in range(365):
        await groups.night(8)
    assert await groups.oldest("groups.Membership") <= 14 * DAY
    counts = [night.total() for night in groups.requests]
    assert sum(counts) == pytest.approx(365 * GROUPS / 14, rel=0.1)


async def read_at_once(nights: Nights) -> int:
    """How many lists are due now."""
    return sum(len(scopes) for scopes in (await nights.chosen(1_000_000)).values())


async def test_what_a_full_sync_leaves_comes_due_evenly_within_its_period_though_nobody_has_read_it(
    nights: Nights,
) -> None:
    nights.entities = ("people.ConnectedPerson",)
    await nights.add("people.person", 1, 560)
    assert await read_at_once(nights) == 0
    for _ in range(57):
        waiting = await nights.night()
        assert waiting.lists == 0
    costs = [night.total() for night in nights.requests]
    assert sum(costs) == 560, "each of them once"
    assert max(costs) <= 25


async def test_a_full_sync_wants_the_answers_for_the_events_of_this_week_and_leaves_the_others(nights: Nights) -> None:
    nights.entities = ("groups.RSVP",)
    await nights.add("groups.event", 1, 1, starts_at=":now + interval '8 days'")
    await nights.add("groups.event", 2, 1, starts_at=":now + interval '6 days'")
    await nights.add("groups.event", 3, 1, starts_at=":now - interval '12 hours'")
    await nights.add("groups.event", 4, 1, starts_at=":now - interval '2 days'")
    assert await nights.wanted() == {"2", "3"}
    assert set(next(iter((await nights.chosen(1_000_000)).values()))) == {"2", "3"}
    (row,) = await nights.sql("SELECT due_at - :now AS wait FROM sync.lists WHERE scope = '4'")
    assert timedelta() < row.wait <= 56 * DAY

    nights.now += 2 * DAY
    assert "1" in set(next(iter((await nights.chosen(1_000_000)).values()))), "its week has begun"


async def test_a_full_sync_reads_what_it_leaves_if_no_night_has_done_so_in_time(nights: Nights) -> None:
    nights.entities = ("groups.RSVP",)
    await nights.add("groups.event", 1, 3, starts_at=":now - interval '300 days'")
    assert await nights.wanted() == set()
    nights.now += 57 * DAY
    assert await nights.wanted() == {"1", "2", "3"}


async def test_what_is_read_again_in_full_is_what_it_wants_whenever_it_was_read_before(nights: Nights) -> None:
    nights.entities = ("groups.RSVP",)
    await nights.add("groups.event", 1, 1, starts_at=":now + interval '1 hour'")
    await nights.refresh()
    await nights.read_everything()
    assert await nights.wanted() == {"1"}


async def test_a_full_sync_wants_the_summaries_of_whoever_pco_or_a_card_calls_an_assignee(nights: Nights) -> None:
    nights.entities = ("people.WorkflowAssigneeWorkflowSummary",)
    await nights.sql("TRUNCATE people.workflow_assignee_summary, people.workflow_card")
    await nights.add("people.person", 1, 5)
    await nights.add("people.workflow_assignee_summary", 1, 1, person_id="'2'")
    await nights.add("people.workflow_card", 1, 2, assignee_id="CASE n WHEN 1 THEN '3' END", person_id="'1'")
    assert await nights.wanted() == {"2", "3"}
    assert await read_at_once(nights) == 2
    await nights.sql("UPDATE people.workflow_card SET assignee_id = '5' WHERE id = '2'")
    assert set(next(iter((await nights.chosen(1_000_000)).values()))) == {"2", "3", "5"}, (
        "due earlier than at its place"
    )


async def test_what_was_never_read_is_counted_by_kind_with_the_days_until_all_of_it_is_due(nights: Nights) -> None:
    nights.entities = ("groups.RSVP", "people.ConnectedPerson", "groups.Membership")
    await nights.add("groups.event", 1, 4, starts_at=":now - interval '300 days'")
    await nights.add("people.person", 1, 3)
    await nights.add("groups.group", 1, 2)
    waiting = await nights.night(0)
    assert (waiting.lists, waiting.never_read) == (2, 2), "the memberships"
    assert waiting.unread == {"groups.RSVP": 4, "people.ConnectedPerson": 3}
    assert timedelta() < waiting.until_all <= 56 * DAY


async def test_a_list_of_a_parent_that_is_gone_before_anybody_read_it_is_due_at_once(nights: Nights) -> None:
    nights.entities = ("people.ConnectedPerson",)
    await nights.add("people.person", 1, 2)
    assert await read_at_once(nights) == 0
    await nights.sql("UPDATE people.person SET _deleted_at = :now WHERE id = '1'")
    assert await read_at_once(nights) == 1
