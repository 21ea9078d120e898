"""The views tell of a simulated church what can be computed from the church itself."""

import asyncio
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from deployments.operations.views import make_views
from flows.sync_child import sync_child
from tests.church import Church
from tests.simulators import SimulatorProcess

Records = dict[str, dict[str, Any]]


@pytest.fixture
def moving(church: Church, monkeypatch: pytest.MonkeyPatch) -> Iterator[Church]:
    """A small church that a test may change."""
    with SimulatorProcess(people=60, groups=3, seed=7) as simulator:
        monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", simulator.base_url)
        yield church.served_by(simulator)


def records(church: Church, entity: str) -> Records:
    """What stands in PCO now, by id."""
    return {str(one["id"]): one for one in church.simulator.state(entity)}


def change(church: Church, entity: str, identity: str, **attributes: Any) -> None:
    """Edit a record in PCO."""
    church.simulator.churn([{"operation": "edit", "entity": entity, "id": identity, "attributes": attributes}])


def mirror_below(church: Church, entity: str, parents: Records) -> None:
    """Mirror what is listed below these parents, in one bundle."""
    state = sync_child(church.org_id, entity, list(parents), "e", return_state=True)
    assert state.is_completed(), state.message


def target(record: Mapping[str, Any], name: str) -> str:
    """The id that a relationship to one record names; empty if it names none."""
    data = record["relationships"][name]["data"]
    return "" if data is None else str(data["id"])


def view(church: Church, name: str) -> list[dict[str, Any]]:
    """The rows of a view."""
    rows = [dict(row._mapping) for row in church.sql(f"SELECT * FROM {name}")]
    assert {row.pop("org_id") for row in rows} == {"grace"}
    return rows


def moment(text: str) -> datetime:
    """A time as PCO writes it."""
    return datetime.fromisoformat(text).astimezone(UTC)


def typed(value: str, kind: str) -> object:
    """What a value means; None if it means nothing of its kind."""
    match kind:
        case "date" if "/" in value:
            return datetime.strptime(value, "%m/%d/%Y").replace(tzinfo=UTC).date()
        case "date":
            return date.fromisoformat(value)
        case "number":
            return Decimal(value) if re.fullmatch(r"\d+", value) else None
        case "boolean":
            return value == "true"
    return value


def test_custom_fields_and_households(moving: Church) -> None:
    for entity in ("people.Person", "people.FieldDefinition", "people.FieldDatum", "people.Household"):
        moving.sync(entity)
    households, people = records(moving, "people.Household"), records(moving, "people.Person")
    mirror_below(moving, "people.HouseholdMembership", households)

    fields = {key: one["attributes"] for key, one in records(moving, "people.FieldDefinition").items()}
    told: dict[str, dict[str, Any]] = {identity: {} for identity in people}
    for datum in records(moving, "people.FieldDatum").values():
        field, value = fields[target(datum, "field_definition")], datum["attributes"]["value"]
        of_person = told[target(datum, "customizable")]
        if field["data_type"] == "checkboxes":
            of_person.setdefault(field["slug"], []).append(value)
        else:
            of_person[field["slug"]] = value
    assert {row["person_id"]: row["fields"] for row in view(moving, "people.custom_fields")} == told

    out = StringIO()
    assert asyncio.run(make_views("grace", Console(file=out, width=120))) == 0
    said = out.getvalue()
    assert "people.custom_fields_grace" in said
    kinds = {one["slug"]: one["data_type"] for one in fields.values()}
    rows = {row.pop("person_id"): row for row in view(moving, "people.custom_fields_grace")}
    assert rows.keys() == people.keys()
    for identity, row in rows.items():
        assert row.keys() == kinds.keys()
        for slug, kind in kinds.items():
            assert slug in said
            value = told[identity].get(slug)
            expected = ", ".join(value) if isinstance(value, list) else value and typed(value, kind)
            assert row[slug] == expected, f"{slug} {value!r}"

    roles = {target(one, "person"): one["attributes"] for one in records(moving, "people.HouseholdMembership").values()}
    expected_members = {
        (household, one["id"]): (
            record["attributes"]["name"],
            people[one["id"]]["attributes"]["first_name"],
            one["id"] == target(record, "primary_contact"),
            roles[one["id"]]["household_role"],
        )
        for household, record in households.items()
        for one in record["relationships"]["people"]["data"]
    }
    assert len(expected_members) == 60
    assert {
        (row["household_id"], row["person_id"]): (
            row["household_name"],
            row["first_name"],
            row["is_primary_contact"],
            row["household_role"],
        )
        for row in view(moving, "people.household_members")
    } == expected_members


def test_rosters_and_attendance(moving: Church) -> None:
    for entity in ("groups.Group", "groups.Person", "groups.Event"):
        moving.sync(entity)
    groups, events = records(moving, "groups.Group"), records(moving, "groups.Event")
    mirror_below(moving, "groups.Membership", groups)
    mirror_below(moving, "groups.Attendance", events)

    people = records(moving, "groups.Person")
    expected_roster = {
        (target(one, "group"), target(one, "person")): (
            groups[target(one, "group")]["attributes"]["name"],
            people[target(one, "person")]["attributes"]["last_name"],
            one["attributes"]["role"],
        )
        for one in records(moving, "groups.Membership").values()
    }
    assert len(expected_roster) == 30
    assert {
        (row["group_id"], row["person_id"]): (row["group_name"], row["last_name"], row["role"])
        for row in view(moving, "groups.roster")
    } == expected_roster

    came: Counter[tuple[str, bool]] = Counter(
        (target(one, "event"), one["attributes"]["attended"]) for one in records(moving, "groups.Attendance").values()
    )
    rows = view(moving, "groups.attendance_by_event")
    assert {row["event_id"] for row in rows} == events.keys()
    for row in rows:
        event = events[row["event_id"]]
        assert (row["attended"], row["absent"]) == (came[row["event_id"], True], came[row["event_id"], False])
        assert row["attended"] + row["absent"] == 10
        assert (row["group_id"], row["starts_at"]) == (target(event, "group"), moment(event["attributes"]["starts_at"]))


def test_giving_by_fund_and_month(moving: Church) -> None:
    """Also at a month's last second, in yen, refunded in part, and in a fund of which nothing is known."""
    first, second, third, *_ = records(moving, "giving.Donation")
    change(moving, "giving.Donation", first, received_at="2024-01-31T23:59:59Z")
    change(moving, "giving.Donation", second, received_at="2024-02-01T00:00:00Z")
    change(moving, "giving.Donation", third, received_at="2024-01-01T00:00:00Z", refunded=True)
    parents = designations_by_donation(moving, [first, second, third])
    for part in parents[second]:
        change(moving, "giving.Designation", part, amount_currency="JPY", amount_cents=5000)
    (lost, *_) = records(moving, "giving.Fund")
    moving.simulator.churn([{"operation": "delete", "entity": "giving.Fund", "id": lost}])
    for entity in ("giving.Donation", "giving.Fund"):
        moving.sync(entity)
    donations, funds = records(moving, "giving.Donation"), records(moving, "giving.Fund")
    mirror_below(moving, "giving.Designation", donations)
    mirror_below(moving, "giving.DesignationRefund", donations)

    refunds: Counter[str] = Counter()
    for one in records(moving, "giving.DesignationRefund").values():
        refunds[target(one, "designation")] += one["attributes"]["amount_cents"]
    assert refunds
    parts = records(moving, "giving.Designation")
    expected: dict[tuple[str, date, str], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    given_by: dict[tuple[str, date, str], set[str]] = defaultdict(set)
    for donation, children in designations_by_donation(moving, donations).items():
        paid = donations[donation]["attributes"]
        for child in children if paid["payment_status"] == "succeeded" else ():
            part = parts[child]["attributes"]
            month = moment(paid["received_at"]).date().replace(day=1)
            key = (target(parts[child], "fund"), month, part["amount_currency"])
            unit = Decimal(1) if part["amount_currency"] == "JPY" else Decimal("0.01")
            is_whole = paid["refunded"] and refunds.keys().isdisjoint(children)
            refunded = part["amount_cents"] if is_whole else refunds[child]
            expected[key][0] += part["amount_cents"] * unit
            expected[key][1] += refunded * unit
            given_by[key].add(donation)
    rows = view(moving, "giving.by_fund_and_month")
    assert {
        (row["fund_id"], row["month"], row["currency"]): [row["given"], row["refunded"]] for row in rows
    } == expected
    for row in rows:
        assert row["net"] == row["given"] - row["refunded"]
        assert row["donations"] == len(given_by[row["fund_id"], row["month"], row["currency"]])
        assert row["fund_name"] == (funds[row["fund_id"]]["attributes"]["name"] if row["fund_id"] != lost else None)
    assert {currency for _, _, currency in expected} == {"USD", "JPY"}


def designations_by_donation(church: Church, donations: Any) -> dict[str, list[str]]:
    """Which designations PCO lists below each donation: of two donations the first has two, the second one."""
    parts = iter(records(church, "giving.Designation"))
    all_donations = list(records(church, "giving.Donation"))
    found = {donation: [next(parts) for _ in range(2 - n % 2)] for n, donation in enumerate(all_donations)}
    return {donation: found[donation] for donation in donations}


def test_check_ins_by_event_and_week(moving: Church) -> None:
    """Also at the last second of a Sunday and the first one of a Monday."""
    sunday, monday, *_ = records(moving, "check-ins.EventPeriod")
    change(moving, "check-ins.EventPeriod", sunday, starts_at="2024-03-03T23:59:59Z")
    change(moving, "check-ins.EventPeriod", monday, starts_at="2024-03-04T00:00:00Z")
    for entity in ("check-ins.Event", "check-ins.CheckIn"):
        moving.sync(entity)
    events = records(moving, "check-ins.Event")
    mirror_below(moving, "check-ins.EventPeriod", events)

    periods = records(moving, "check-ins.EventPeriod")
    counts: Counter[tuple[str, date, str]] = Counter()
    people: dict[tuple[str, date], set[str]] = defaultdict(set)
    for one in records(moving, "check-ins.CheckIn").values():
        period = periods[target(one, "event_period")]
        day = moment(period["attributes"]["starts_at"]).date()
        key = (target(period, "event"), day - timedelta(days=day.weekday()))
        counts[(*key, one["attributes"]["kind"])] += 1
        people[key].add(target(one, "person"))
    rows = {(row["event_id"], row["week"]): row for row in view(moving, "check_ins.by_event_and_week")}
    assert rows.keys() == people.keys()
    assert {week for _, week in rows} >= {date(2024, 2, 26), date(2024, 3, 4)}
    for key, row in rows.items():
        told = (row["regulars"], row["guests"], row["volunteers"])
        assert told == tuple(counts[(*key, kind)] for kind in ("Regular", "Guest", "Volunteer"))
        assert row["check_ins"] == sum(told)
        assert row["people"] == len(people[key])
        assert row["event_name"] == events[key[0]]["attributes"]["name"]
