"""`sync.freshness` never says more than the ledger shows: each way in which it could is tried."""

import importlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from pco_store.database import Database
from pco_store.freshness.reading import NOT_OVER, ChurchFreshness, TableFreshness, read_churches, read_tables
from pco_store.migrate import migrate
from tests.integration.ledger_rows import ORG, LedgerRows, ago

PEOPLE, DONATIONS, DESIGNATIONS, CAMPUSES = "people.Person", "giving.Donation", "giving.Designation", "people.Campus"
MEMBERSHIPS, GROUPS, EVENTS = "groups.Membership", "groups.Group", "groups.Event"
PATH = "/groups/v2/groups/{group_id}/memberships"
ITEMS, ITEM_NOTES = "services.Item", "services.ItemNote"
ITEM_PATH = "/services/v2/service_types/{service_type_id}/plans/{plan_id}/items"


@pytest.fixture
async def ledger(store: Database) -> AsyncIterator[LedgerRows]:
    """An empty ledger."""
    rows = LedgerRows(store)
    tables = "sync.runs, sync.watermarks, sync.lists, sync.quarantine, sync.list_traits, sync.freshness_rules"
    await rows.sql(f"TRUNCATE {tables}")
    yield rows
    await rows.sql(f"TRUNCATE {tables}")


async def of(ledger: LedgerRows, entity: str) -> TableFreshness:
    async with ledger.store.transaction() as connection:
        return next(one for one in await read_tables(connection, ORG) if one.entity == entity)


async def church(ledger: LedgerRows) -> ChurchFreshness:
    async with ledger.store.transaction() as connection:
        (one,) = await read_churches(connection, ORG)
        return one


def told(one: TableFreshness) -> tuple[str, str]:
    return one.freshness, one.last_verdict


async def test_a_list_that_was_read_completely_and_by_what_changed_is_current(ledger: LedgerRows) -> None:
    full = ago(days=3)
    await ledger.run(PEOPLE, full)
    delta = ago(minutes=10)
    await ledger.run(PEOPLE, delta, mode="delta", verdict=None)
    one = await of(ledger, PEOPLE)
    assert told(one) == ("current", "complete")
    assert (one.complete_as_of, one.changes_seen_until) == (full, delta)
    assert one.table_name == "people.person"
    assert (await church(ledger)).freshness == "current"


async def test_there_is_a_row_for_each_kind_of_the_catalogue_and_nothing_is_claimed_of_what_nobody_reads(
    ledger: LedgerRows,
) -> None:
    await ledger.run(PEOPLE, ago(minutes=5))
    async with ledger.store.transaction() as connection:
        tables = await read_tables(connection, ORG)
    assert len(tables) == len({one.entity for one in tables}) == 220
    others = [one for one in tables if one.entity != PEOPLE]
    assert {told(one) for one in others} == {("never_read", "never_read")}
    assert {(one.complete_as_of, one.changes_seen_until, one.overdue_because) for one in others} == {(None, None, None)}
    assert ((await church(ledger)).current, (await church(ledger)).never_read) == (1, 219)


@pytest.mark.parametrize(
    ("run", "verdict"),
    [
        ({"state": "running"}, "running"),
        ({"state": "failed", "error": "it broke"}, "failed"),
        ({"state": "cancelled"}, "cancelled"),
    ],
)
async def test_a_first_reading_that_is_not_over_says_nothing(
    ledger: LedgerRows, run: dict[str, Any], verdict: str
) -> None:
    await ledger.run(PEOPLE, ago(minutes=5), **run)
    one = await of(ledger, PEOPLE)
    assert told(one) == ("overdue", verdict)
    assert (one.complete_as_of, one.changes_seen_until) == (None, None)
    assert one.last_error == run.get("error")
    assert (await church(ledger)).freshness == "overdue"


async def test_what_fails_after_a_complete_reading_moves_nothing_and_is_said(ledger: LedgerRows) -> None:
    full = ago(hours=1)
    await ledger.run(PEOPLE, full)
    await ledger.run(PEOPLE, ago(minutes=2), mode="delta", state="failed", error="503", verdict=None)
    one = await of(ledger, PEOPLE)
    assert told(one) == ("current", "failed")
    assert (one.complete_as_of, one.changes_seen_until, one.last_error) == (full, full, "503")


async def test_a_list_is_overdue_when_changes_were_not_seen_or_when_it_was_not_read_completely(
    ledger: LedgerRows,
) -> None:
    await ledger.run(PEOPLE, ago(days=1))
    assert "changes were last seen" in ((await of(ledger, PEOPLE)).overdue_because or "")
    await ledger.watermark(PEOPLE, ago(minutes=1))
    assert (await of(ledger, PEOPLE)).overdue_because is None

    await ledger.run(DONATIONS, ago(days=9))
    await ledger.watermark(DONATIONS, ago(minutes=1))
    assert "it was last complete" in ((await of(ledger, DONATIONS)).overdue_because or "")


async def test_a_list_that_knows_no_delta_may_be_a_day_old(ledger: LedgerRows) -> None:
    async with ledger.store.transaction() as connection:
        name = await connection.scalar(text("SELECT min(entity) FROM sync.kinds WHERE way = 'full'"))
    await ledger.run(name, ago(days=1))
    assert told(await of(ledger, name)) == ("current", "complete")
    await ledger.watermark(name, ago(days=3))
    assert (await of(ledger, name)).freshness == "overdue"


@pytest.mark.parametrize("verdict", ["too_many", "list_is_empty", "not_provable", None])
async def test_a_reading_whose_missing_records_nobody_has_decided_about_is_not_complete(
    ledger: LedgerRows, verdict: str | None
) -> None:
    before = ago(hours=3)
    await ledger.run(PEOPLE, before)
    await ledger.run(PEOPLE, ago(hours=1), verdict=verdict)
    await ledger.run(PEOPLE, ago(minutes=1), mode="delta", verdict=None)
    one = await of(ledger, PEOPLE)
    assert told(one) == ("incomplete", "incomplete")
    assert one.complete_as_of == before
    assert (await church(ledger)).freshness == "incomplete"


async def test_what_is_in_quarantine_is_not_in_the_table(ledger: LedgerRows) -> None:
    before = ago(hours=3)
    await ledger.run(PEOPLE, before)
    run = await ledger.run(PEOPLE, ago(hours=1))
    await ledger.quarantine(PEOPLE, run)
    one = await of(ledger, PEOPLE)
    assert told(one) == ("incomplete", "incomplete")
    assert (one.complete_as_of, one.quarantined) == (before, 1)
    await ledger.sql("UPDATE sync.quarantine SET resolved_at = now()")
    assert told(await of(ledger, PEOPLE)) == ("current", "complete")


async def test_a_window_that_ended_before_the_run_began_is_what_is_known(ledger: LedgerRows) -> None:
    until = ago(hours=1.5)
    await ledger.run(PEOPLE, ago(hours=1), window_until=until)
    assert (await of(ledger, PEOPLE)).complete_as_of == until


async def test_what_lies_in_the_future_proves_nothing(ledger: LedgerRows) -> None:
    await ledger.run(PEOPLE, ago(hours=1))
    await ledger.watermark(PEOPLE, ago(days=-30))
    one = await of(ledger, PEOPLE)
    assert one.freshness == "overdue"
    assert "a clock was wrong" in (one.overdue_because or "")


async def test_an_epoch_that_was_given_up_is_forgotten(ledger: LedgerRows) -> None:
    await ledger.run(PEOPLE, ago(hours=1))
    await ledger.run(PEOPLE, ago(minutes=1), state="closed", error="given up")
    assert told(await of(ledger, PEOPLE)) == ("current", "complete")


async def with_owner(ledger: LedgerRows, at: datetime, *, state: str = "completed", **member: Any) -> tuple[int, int]:
    owner = await ledger.run(DONATIONS, at, state=state)
    plan = {"include": "designations"} | member.pop("plan", {})
    return owner, await ledger.run(
        DESIGNATIONS, at, read_with=owner, plan=plan, **{"state": state, **member}, epoch=f"with-{owner}"
    )


async def test_what_comes_with_its_owners_is_as_current_as_their_last_full_reading(ledger: LedgerRows) -> None:
    at = ago(days=2)
    await with_owner(ledger, at)
    await ledger.watermark(DONATIONS, ago(minutes=1))
    one = await of(ledger, DESIGNATIONS)
    assert told(one) == ("current", "complete")
    assert (one.complete_as_of, one.changes_seen_until, one.way) == (at, at, "owner")


async def test_what_comes_with_its_owners_is_no_further_than_their_list(ledger: LedgerRows) -> None:
    await with_owner(ledger, ago(minutes=1), state="running")
    assert told(await of(ledger, DESIGNATIONS)) == ("overdue", "running")
    await ledger.sql("UPDATE sync.runs SET state = 'failed' WHERE entity = :entity", entity=DONATIONS)
    assert told(await of(ledger, DESIGNATIONS)) == ("overdue", "failed")


async def test_a_member_that_looks_complete_counts_only_with_its_list_and_only_if_it_was_not_dropped(
    ledger: LedgerRows,
) -> None:
    owner, member = await with_owner(ledger, ago(minutes=1))
    assert (await of(ledger, DESIGNATIONS)).complete_as_of is not None
    await ledger.sql("UPDATE sync.runs SET state = 'failed' WHERE run_id = :owner", owner=owner)
    assert (await of(ledger, DESIGNATIONS)).complete_as_of is None
    await ledger.sql("UPDATE sync.runs SET state = 'completed' WHERE run_id = :owner", owner=owner)
    await ledger.sql('UPDATE sync.runs SET plan = plan || \'{"dropped": "x"}\' WHERE run_id = :member', member=member)
    assert (await of(ledger, DESIGNATIONS)).complete_as_of is None


async def test_an_owner_in_quarantine_lacks_what_comes_with_it(ledger: LedgerRows) -> None:
    owner, _ = await with_owner(ledger, ago(minutes=1))
    await ledger.quarantine(DONATIONS, owner)
    one = await of(ledger, DESIGNATIONS)
    assert (one.freshness, one.complete_as_of) == ("overdue", None)


async def test_an_include_that_was_not_kept_to_is_not_complete_and_later_its_lists_count(ledger: LedgerRows) -> None:
    before = ago(hours=5)
    await with_owner(ledger, before)
    await with_owner(ledger, ago(hours=2), plan={"dropped": "one was missing"})
    await ledger.sql("UPDATE sync.runs SET state = 'failed' WHERE plan ->> 'dropped' IS NOT NULL")
    one = await of(ledger, DESIGNATIONS)
    assert (one.freshness, one.complete_as_of, one.last_error) == ("incomplete", before, "one was missing")

    await ledger.sql(
        "INSERT INTO sync.list_traits VALUES (:org, :entity, NULL, jsonb_build_object('designations', "
        "jsonb_build_object('reason', 'x', 'at', now())))",
        entity=DONATIONS,
    )
    path = "/giving/v2/donations/{donation_id}/designations"
    read = ago(hours=1)
    await ledger.list(DESIGNATIONS, "1", path=path, read=read, due=ago(days=-3))
    await ledger.fan_out(DESIGNATIONS, read, [DONATIONS], children="completed", mode="due")
    one = await of(ledger, DESIGNATIONS)
    assert (one.way, one.freshness, one.changes_seen_until) == ("below", "current", read)


async def items(ledger: LedgerRows, at: datetime, *, mode: str = "full", **told_of_lists: Any) -> tuple[int, int]:
    """Two lists of items with their notes, all read then; the fan-out, and its member."""
    for scope in ("1/1", "1/2"):
        default = {"read": at, "due": at + timedelta(days=14)}
        await ledger.sql("DELETE FROM sync.lists WHERE scope = :scope", scope=scope)
        await ledger.list(ITEMS, scope, path=ITEM_PATH, **{**default, **(told_of_lists if scope == "1/2" else {})})
    await ledger.run("organization", at, mode="full" if mode == "full" else "rest", parts={"due": {}})
    root = await ledger.fan_out(
        ITEMS, at, ["services.ServiceType", "services.Plan"], children="completed completed", mode=mode
    )
    member = await ledger.run(
        ITEM_NOTES, at, read_with=root, plan={"include": "item_notes"}, mode=mode, epoch=f"with-{root}"
    )
    return root, member


async def test_what_comes_with_owners_below_parents_is_as_current_as_their_lists(ledger: LedgerRows) -> None:
    first, night = ago(days=20), ago(hours=3)
    await items(ledger, first)
    one = await of(ledger, ITEM_NOTES)
    assert (one.way, one.freshness, one.complete_as_of) == ("below", "overdue", first), "no night has read them"
    await items(ledger, night, mode="due")
    one, owner = await of(ledger, ITEM_NOTES), await of(ledger, ITEMS)
    assert (one.freshness, one.overdue_because) == ("current", None)
    assert (one.complete_as_of, one.changes_seen_until, one.lists) == (first, night, 2)
    assert (owner.changes_seen_until, owner.lists) == (night, 2)
    await items(ledger, night, mode="due", due=ago(days=3))
    assert (await of(ledger, ITEM_NOTES)).freshness == (await of(ledger, ITEMS)).freshness == "overdue"


async def test_what_came_with_the_owners_of_a_night_and_is_undecided_is_not_complete(ledger: LedgerRows) -> None:
    await items(ledger, ago(days=3))
    _, member = await items(ledger, ago(hours=3), mode="due")
    assert (await of(ledger, ITEM_NOTES)).freshness == "current"
    await ledger.sql("UPDATE sync.runs SET deletions = NULL WHERE run_id = :member", member=member)
    assert (await of(ledger, ITEM_NOTES)).freshness == "incomplete"
    assert (await of(ledger, ITEMS)).freshness == "current"


async def test_without_its_include_such_a_kind_is_as_current_as_lists_of_its_own(ledger: LedgerRows) -> None:
    await items(ledger, ago(hours=3))
    await ledger.sql(
        "INSERT INTO sync.list_traits VALUES (:org, :entity, NULL, jsonb_build_object('item_notes', "
        "jsonb_build_object('reason', 'x', 'at', now())))",
        entity=ITEMS,
    )
    one = await of(ledger, ITEM_NOTES)
    assert (one.way, one.lists, one.changes_seen_until) == ("below", None, None)


async def test_such_a_kind_is_complete_as_of_what_the_fan_out_of_its_owners_proves(ledger: LedgerRows) -> None:
    root, _ = await items(ledger, ago(hours=3))
    assert (await of(ledger, ITEM_NOTES)).complete_as_of is not None
    ((epoch,),) = await ledger.sql("SELECT epoch FROM sync.runs WHERE run_id = :root", root=root)
    plans = ago(hours=9)
    await ledger.run("services.Plan", plans, epoch=epoch)
    assert (await of(ledger, ITEM_NOTES)).complete_as_of == plans
    ((child,),) = await ledger.sql("SELECT min(run_id) FROM sync.runs WHERE parent_run_id = :root", root=root)
    await ledger.quarantine(ITEMS, child)
    assert (await of(ledger, ITEM_NOTES)).complete_as_of is None


async def below(ledger: LedgerRows, **told_of_lists: Any) -> None:
    """Two lists of memberships, and the night that has read them."""
    for scope in "12":
        default = {"read": ago(days=int(scope)), "due": ago(days=-5)}
        await ledger.list(MEMBERSHIPS, scope, path=PATH, **{**default, **(told_of_lists if scope == "2" else {})})
    await ledger.run("organization", ago(hours=4), mode="rest", parts={"due": {}})
    await ledger.fan_out(MEMBERSHIPS, ago(hours=4), [GROUPS], children="completed completed", mode="due")


async def test_lists_below_parents_are_current_as_long_as_none_waits_for_longer_than_its_rule(
    ledger: LedgerRows,
) -> None:
    await below(ledger)
    one = await of(ledger, MEMBERSHIPS)
    assert told(one) == ("current", "complete")
    assert one.oldest_list_read_at == one.changes_seen_until
    assert (one.lists, one.lists_due) == (2, 0)
    assert one.complete_as_of is None, "no night reads all of them"


@pytest.mark.parametrize(
    ("wrong", "freshness"),
    [
        ({"due": ago(days=3)}, "overdue"),
        ({"due": ago(days=1)}, "current"),
        ({"read": None, "due": ago(days=1)}, "current"),
        ({"read": None, "due": ago(days=3)}, "overdue"),
    ],
)
async def test_a_budget_that_could_not_read_all_is_seen(
    ledger: LedgerRows, wrong: dict[str, Any], freshness: str
) -> None:
    await below(ledger, **wrong)
    one = await of(ledger, MEMBERSHIPS)
    assert one.freshness == freshness
    assert (one.changes_seen_until is None) == ("read" in wrong)
    assert one.lists_due == 1


async def test_a_list_that_pco_refuses_was_not_read(ledger: LedgerRows) -> None:
    await below(ledger)
    await ledger.sql("UPDATE sync.lists SET is_refused = true WHERE scope = '1'")
    one = await of(ledger, MEMBERSHIPS)
    assert (one.freshness, one.changes_seen_until) == ("incomplete", None)


@pytest.mark.parametrize(
    ("verdict", "later"), [("too_many", ("incomplete", "incomplete")), ("over_budget", ("current", "complete"))]
)
async def test_a_night_after_which_missing_records_are_undecided_is_not_complete(
    ledger: LedgerRows, verdict: str, later: tuple[str, str]
) -> None:
    """What it had no budget to ask for is decided by the next one."""
    await below(ledger)
    await ledger.fan_out(MEMBERSHIPS, ago(hours=3), [GROUPS], children="completed", mode="due", verdict=verdict)
    assert told(await of(ledger, MEMBERSHIPS)) == ("incomplete", "incomplete")
    await ledger.fan_out(MEMBERSHIPS, ago(hours=2), [GROUPS], children="completed", mode="due")
    assert told(await of(ledger, MEMBERSHIPS)) == later


async def test_without_nights_nobody_knows_of_new_lists(ledger: LedgerRows) -> None:
    await below(ledger)
    await ledger.sql("UPDATE sync.runs SET started_at = now() - interval '17 days'")
    one = await of(ledger, MEMBERSHIPS)
    assert one.freshness == "overdue"
    assert "nobody has looked for new lists" in (one.overdue_because or "")


@pytest.mark.parametrize(
    ("fan_out", "is_complete"),
    [
        ({"children": "completed absent"}, True),
        ({"children": "completed dead"}, False),
        ({"children": "completed forbidden"}, False),
        ({"children": "completed cancelled"}, False),
        ({"children": "completed pending", "state": "awaiting"}, False),
        ({"children": "completed", "verdict": "requested"}, False),
        ({"children": "completed", "state": "failed"}, False),
        ({"children": "completed", "below": ["groups.Person"]}, True),
        ({"children": "completed", "below": ["groups.Event"]}, False),
    ],
)
async def test_a_fan_out_is_complete_if_it_has_read_every_list(
    ledger: LedgerRows, fan_out: dict[str, Any], is_complete: bool
) -> None:
    at = ago(hours=1)
    await ledger.fan_out(MEMBERSHIPS, at, **{"below": [GROUPS], **fan_out})
    one = await of(ledger, MEMBERSHIPS)
    assert one.complete_as_of == (at if is_complete else None)
    assert (one.freshness == "current") == is_complete
    if "dead" in fan_out["children"]:
        assert one.last_error == "it broke"


async def test_a_fan_out_is_no_newer_than_the_parents_that_it_took_from_the_mirror(ledger: LedgerRows) -> None:
    parents = ago(hours=3)
    await ledger.run(GROUPS, parents, epoch="night-1")
    await ledger.fan_out(MEMBERSHIPS, ago(hours=1), [GROUPS], children="completed", epoch="night-1")
    assert (await of(ledger, MEMBERSHIPS)).complete_as_of == parents


async def test_a_parent_in_quarantine_hides_its_lists(ledger: LedgerRows) -> None:
    run = await ledger.run(GROUPS, ago(hours=3), epoch="night-1")
    await ledger.fan_out(MEMBERSHIPS, ago(hours=1), [GROUPS], children="completed", epoch="night-1")
    await ledger.quarantine(GROUPS, run)
    assert (await of(ledger, MEMBERSHIPS)).complete_as_of is None


async def test_nights_that_have_read_every_list_again_make_up_for_a_fan_out_that_had_not(ledger: LedgerRows) -> None:
    await ledger.fan_out(MEMBERSHIPS, ago(days=4), [GROUPS], children="completed dead")
    await below(ledger, read=ago(days=5))
    assert (await of(ledger, MEMBERSHIPS)).freshness == "incomplete"
    await ledger.sql("UPDATE sync.lists SET last_read_at = now() - interval '1 day'")
    assert (await of(ledger, MEMBERSHIPS)).freshness == "current"


async def test_what_has_a_list_of_its_own_is_not_begun_by_reading_below_parents(ledger: LedgerRows) -> None:
    await ledger.fan_out(EVENTS, ago(days=30), [GROUPS], children="completed dead")
    one = await of(ledger, EVENTS)
    assert (*told(one), one.overdue_because, one.last_error) == ("never_read", "never_read", None, None)
    await ledger.run(EVENTS, ago(minutes=5))
    await ledger.fan_out(EVENTS, ago(minutes=1), [GROUPS], children="dead", state="failed", error="it broke")
    assert told(await of(ledger, EVENTS)) == ("current", "complete")


async def test_the_newest_rule_of_ones_own_wins_the_more_the_closer_it_is(ledger: LedgerRows) -> None:
    await ledger.run(PEOPLE, ago(hours=5))
    assert (await of(ledger, PEOPLE)).freshness == "overdue"
    for org_id, kinds, within, freshness in (
        ("*", "*", "6 hours", "current"),
        ("*", "delta", "4 hours", "overdue"),
        ("*", PEOPLE, "6 hours", "current"),
        (ORG, "*", "4 hours", "overdue"),
        (ORG, "delta", "6 hours", "current"),
        (ORG, PEOPLE, "4 hours", "overdue"),
        ("elsewhere", PEOPLE, "9 hours", "overdue"),
    ):
        await ledger.sql(
            f"INSERT INTO sync.freshness_rules (org_id, kinds, changes_within) VALUES (:by, :kinds, '{within}')",
            by=org_id,
            kinds=kinds,
        )
        assert (await of(ledger, PEOPLE)).freshness == freshness, (org_id, kinds)


async def test_a_church_whose_first_sync_is_not_over_is_not_current_whatever_it_has_read(ledger: LedgerRows) -> None:
    await ledger.run(PEOPLE, ago(minutes=5))
    first = await ledger.run("organization", ago(minutes=6), state="running")
    one = await church(ledger)
    assert (one.freshness, one.because) == ("overdue", (NOT_OVER,))
    await ledger.sql("UPDATE sync.runs SET state = 'completed' WHERE run_id = :first", first=first)
    assert (await church(ledger)).freshness == "current"


async def test_deltas_beside_a_first_sync_that_was_given_up_do_not_make_it_over(ledger: LedgerRows) -> None:
    """What is listed below parents was never begun then, and nobody says so of a table."""
    await ledger.run(PEOPLE, ago(minutes=5))
    await ledger.run("organization", ago(minutes=6), state="cancelled")
    await ledger.run("organization", ago(minutes=5), mode="delta")
    assert (await church(ledger)).because == (NOT_OVER,)
    await ledger.run("organization", ago(minutes=2), mode="rest", parts={"due": {}})
    assert (await church(ledger)).freshness == "current"


async def test_one_church_says_nothing_of_another(ledger: LedgerRows) -> None:
    await ledger.run(PEOPLE, ago(minutes=5))
    await LedgerRows(ledger.store, "hope").run(PEOPLE, ago(days=5))
    async with ledger.store.transaction() as connection:
        found = {one.org_id: one for one in await read_churches(connection)}
    assert {name: one.freshness for name, one in found.items()} == {"grace": "current", "hope": "overdue"}
    assert found["hope"].because[0].startswith(f"{PEOPLE}: changes were last seen")
    assert found["hope"].changes_seen_until is not None


async def test_the_catalogue_is_told_again_when_it_has_changed(database: Database, database_url: str) -> None:
    async def count() -> int:
        async with database.transaction() as connection:
            return int(await connection.scalar(text("SELECT count(*) FROM sync.kinds")) or 0)

    empty = importlib.import_module("pco_store.migrations.versions.0016_freshness").KINDS
    async with database.transaction() as connection:
        await connection.execute(text(empty.replace("CREATE VIEW", "CREATE OR REPLACE VIEW").replace("::", "\\:\\:")))
        await connection.execute(text("COMMENT ON VIEW sync.kinds IS 'of another catalogue'"))
    assert await count() == 0
    await migrate(database_url)
    assert await count() == 220
