"""The views for SQL people: they can be asked, and a tombstone or another church never shows through."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pco_store.database import Database
from tests.integration.views import mirror, resource, select, views

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "views.md"

ALONE = {"people.merged_person"}
"""It is made of mergers only, and tested with them (tests/orchestration/entities/test_merges.py)."""

JOINED = {
    "people.custom_fields": ["people.person"],
    "people.household_members": ["people.household", "people.person"],
    "groups.roster": ["groups.membership", "groups.group", "groups.person"],
    "groups.attendance_by_event": ["groups.attendance", "groups.event", "groups.group"],
    "giving.by_fund_and_month": ["giving.designation", "giving.donation"],
    "check_ins.by_event_and_week": ["check_ins.check_in", "check_ins.event_period", "check_ins.event"],
}
"""Of which tables a view needs a live row to show anything."""


@pytest.fixture
async def churches(database: Database) -> Database:
    """Two churches with the same ids, and one record of everything that the views join."""
    for org_id, name in (("grace", "Ada"), ("hope", "Ben")):
        await one_of_everything(database, org_id, name)
    return database


async def one_of_everything(database: Database, org_id: str, name: str) -> None:
    async def put(entity: str, kind: str, attributes: dict[str, Any], links: dict[str, Any], **below: str) -> None:
        await mirror(database, entity, resource(kind, "1", attributes, links), org_id=org_id, below=below)

    person = {"first_name": name, "last_name": "Example"}
    await put("people.Person", "Person", person, {})
    await put("people.FieldDefinition", "FieldDefinition", {"slug": "size", "data_type": "select"}, {})
    await put(
        "people.FieldDatum",
        "FieldDatum",
        {"value": f"{name}'s"},
        {"customizable": ("Person", "1"), "field_definition": ("FieldDefinition", "1")},
    )
    members = {"people": [("Person", "1")], "primary_contact": ("Person", "1")}
    await put("people.Household", "Household", {"name": f"{name}'s home"}, members)
    await put(
        "people.HouseholdMembership",
        "HouseholdMembership",
        {"household_role": "adult"},
        {"person": ("Person", "1")},
        household="1",
    )
    await put("groups.Person", "Person", person, {})
    await put("groups.Group", "Group", {"name": f"{name}'s group"}, {})
    belongs = {"group": ("Group", "1"), "person": ("Person", "1")}
    await put("groups.Membership", "Membership", {"role": "leader"}, belongs)
    await put("groups.Event", "Event", {"name": "Meeting", "starts_at": "2026-01-01T18:00:00Z"}, belongs)
    came = {"event": ("Event", "1"), "person": ("Person", "1")}
    await put("groups.Attendance", "Attendance", {"attended": True, "role": "leader"}, came)
    await put("giving.Fund", "Fund", {"name": f"{name}'s fund"}, {})
    paid = {"received_at": "2026-01-31T23:59:59Z", "payment_status": "succeeded", "refunded": False}
    await put("giving.Donation", "Donation", paid, {})
    amount = {"amount_cents": 1234, "amount_currency": "USD"}
    await put("giving.Designation", "Designation", amount, {"fund": ("Fund", "1")}, donation="1")
    await put("check-ins.Event", "Event", {"name": f"{name}'s Sunday"}, {})
    await put("check-ins.EventPeriod", "EventPeriod", {"starts_at": "2026-01-04T23:59:59Z"}, {"event": ("Event", "1")})
    checked_in = {"event_period": ("EventPeriod", "1"), "person": ("Person", "1")}
    await put("check-ins.CheckIn", "CheckIn", {"kind": "Regular"}, checked_in)


def test_every_view_is_among_those_that_are_tested_here() -> None:
    assert set(re.findall(r"^## `(\w+\.\w+)`", DOCUMENT.read_text("utf-8"), flags=re.MULTILINE)) == set(JOINED) | ALONE


async def test_every_view_can_be_asked_of_an_empty_mirror(database: Database) -> None:
    assert set(await views(database)) == set(JOINED) | ALONE
    for view in JOINED:
        assert await select(database, f"SELECT * FROM {view}") == []


async def test_every_view_is_told_of_and_begins_with_the_church(database: Database) -> None:
    for view in JOINED:
        (told,) = await select(
            database,
            """
            SELECT obj_description(to_regclass(:view), 'pg_class') AS words, attname AS first
            FROM pg_attribute WHERE attrelid = to_regclass(:view) AND attnum = 1
            """,
            view=view,
        )
        assert told["first"] == "org_id", view
        assert told["words"], view


async def test_every_query_of_the_documentation_runs(churches: Database) -> None:
    fields = (("baptism_date", "date"), ("photo_consent", "boolean"))
    for n, (slug, kind) in enumerate(fields):
        field = resource("FieldDefinition", str(n), {"slug": slug, "data_type": kind})
        await mirror(churches, "people.FieldDefinition", field, org_id="demo")
    await select(churches, "SELECT people.make_custom_fields_view('demo')")
    queries = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text("utf-8"), flags=re.DOTALL)
    assert len(queries) >= len(JOINED)
    for query in queries:
        await select(churches, query.replace(":", "\\:"))


async def test_a_church_is_shown_with_its_own_records_only(churches: Database) -> None:
    for view in JOINED:
        rows = await select(churches, f"SELECT * FROM {view} ORDER BY org_id")
        assert [row["org_id"] for row in rows] == ["grace", "hope"], view
        for row, own, others in zip(rows, ("Ada", "Ben"), ("Ben", "Ada"), strict=True):
            told = " ".join(str(value) for value in row.values())
            assert own in told, view
            assert others not in told, view


async def test_a_tombstone_in_any_table_it_needs_hides_the_row(churches: Database) -> None:
    for view, tables in JOINED.items():
        for table in tables:
            schema, name = table.split(".")
            bury = f"UPDATE {schema}.\"{name}\" SET _deleted_at = %s WHERE org_id = 'grace'"
            await select(churches, bury % "now()")
            assert await select(churches, f"SELECT org_id FROM {view}") == [{"org_id": "hope"}], (view, table)
            await select(churches, bury % "NULL")


async def test_what_a_view_only_adds_is_gone_with_its_tombstone_and_the_row_stays(churches: Database) -> None:
    for table in ("people.household_membership", "giving.fund", "people.field_datum"):
        await select(churches, f"UPDATE {table} SET _deleted_at = now() WHERE org_id = 'grace'")
    (member,) = await select(churches, "SELECT * FROM people.household_members WHERE org_id = 'grace'")
    assert (member["person_id"], member["household_role"], member["is_primary_contact"]) == ("1", None, True)
    (fund,) = await select(churches, "SELECT * FROM giving.by_fund_and_month WHERE org_id = 'grace'")
    assert (fund["fund_id"], fund["fund_name"], fund["given"]) == ("1", None, Decimal("12.34"))
    (fields,) = await select(churches, "SELECT * FROM people.custom_fields WHERE org_id = 'grace'")
    assert fields["fields"] == {}


async def test_a_months_and_a_weeks_last_second_belong_to_it(churches: Database) -> None:
    await select(churches, "SET TIME ZONE 'Pacific/Auckland'")
    (given,) = await select(churches, "SELECT month::text FROM giving.by_fund_and_month WHERE org_id = 'grace'")
    assert given["month"] == "2026-01-01"
    (week,) = await select(churches, "SELECT week::text FROM check_ins.by_event_and_week WHERE org_id = 'grace'")
    assert week["week"] == "2025-12-29"


AMOUNTS = (
    (123456, "USD", "1234.56"),
    (123456, "usd", "1234.56"),
    (123456, None, "1234.56"),
    (123456, "JPY", "123456"),
    (123456, "KRW", "123456"),
    (123456, "KWD", "123.456"),
    (-5, "CAD", "-0.05"),
    (2**62, "USD", "46116860184273879.04"),
)


async def test_an_amount_is_told_in_the_currencys_units(database: Database) -> None:
    for cents, currency, units in AMOUNTS:
        (told,) = await select(
            database,
            "SELECT giving.currency_units(CAST(:cents AS numeric), CAST(:currency AS text)) AS units",
            cents=cents,
            currency=currency,
        )
        assert told["units"] == Decimal(units), currency


async def test_a_refund_counts_as_far_as_it_is_known(database: Database) -> None:
    """Wholly, if the donation says that it was refunded; in part, if the refunds of its designations say how much."""
    for identity, refunded in (("1", True), ("2", True), ("3", False)):
        paid = {"received_at": "2026-01-01T00:00:00Z", "payment_status": "succeeded", "refunded": refunded}
        await mirror(database, "giving.Donation", resource("Donation", identity, paid))
        part = resource("Designation", identity, {"amount_cents": 1000, "amount_currency": "USD"})
        await mirror(database, "giving.Designation", part, below={"donation": identity})
    refund = resource("DesignationRefund", "1", {"amount_cents": 400}, {"designation": ("Designation", "2")})
    await mirror(database, "giving.DesignationRefund", refund, below={"donation": "2"})
    (told,) = await select(database, "SELECT given, refunded, net, donations FROM giving.by_fund_and_month")
    assert told == {"given": 30, "refunded": 14, "net": 16, "donations": 3}

    paid = {"received_at": "2026-01-01T00:00:00Z", "payment_status": "succeeded", "refunded": True}
    await mirror(database, "giving.Donation", resource("Donation", "4", paid))
    for identity, cents in (("4", 1000), ("5", 500)):
        part = resource("Designation", identity, {"amount_cents": cents, "amount_currency": "USD"})
        await mirror(database, "giving.Designation", part, below={"donation": "4"})
    refund = resource("DesignationRefund", "2", {"amount_cents": 500}, {"designation": ("Designation", "5")})
    await mirror(database, "giving.DesignationRefund", refund, below={"donation": "4"})
    (told,) = await select(database, "SELECT given, refunded, net, donations FROM giving.by_fund_and_month")
    assert told == {"given": 45, "refunded": 19, "net": 26, "donations": 4}, "the other part was kept"


async def test_money_that_was_not_paid_does_not_count(database: Database) -> None:
    for identity, status in (("1", "pending"), ("2", "failed")):
        paid = {"received_at": "2026-01-01T00:00:00Z", "payment_status": status}
        await mirror(database, "giving.Donation", resource("Donation", identity, paid))
        part = resource("Designation", identity, {"amount_cents": 1000, "amount_currency": "USD"})
        await mirror(database, "giving.Designation", part, below={"donation": identity})
    assert await select(database, "SELECT * FROM giving.by_fund_and_month") == []
