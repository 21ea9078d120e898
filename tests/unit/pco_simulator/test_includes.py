"""What comes with records, by `include`, is what the lists below them show; and links lead there."""

import json
from typing import Any

import pytest

from pco_catalog import load_catalog
from pco_simulator.answering.including import include
from pco_simulator.contents.churn import Change
from pco_simulator.simulator import Simulator
from tests.unit.pco_simulator.asking import PEOPLE, ask, ids, page, simulator


def test_an_include_brings_each_record_once_and_the_owner_names_it() -> None:
    document = page(simulator(), query="include=emails,primary_campus")
    emails = [one for one in document["included"] if one["type"] == "Email"]
    campuses = [one["id"] for one in document["included"] if one["type"] == "Campus"]
    named = [one["id"] for record in document["data"] for one in record["relationships"]["emails"]["data"]]
    assert [one["id"] for one in emails] == named
    assert campuses
    assert len(campuses) == len(set(campuses))


def test_without_include_nothing_is_included() -> None:
    document = page(simulator())
    assert "included" not in document
    assert "emails" not in document["data"][0]["relationships"]


CATALOG = load_catalog()


INCLUDES = [(one.name, edge) for one in CATALOG.by_name.values() for edge in sorted(one.can_include)]


@pytest.fixture(scope="module")
def church() -> Simulator:
    """A church that is big enough for a refund."""
    return simulator(people=101, groups=4)


@pytest.mark.parametrize(("name", "edge"), INCLUDES)
def test_every_edge_that_can_be_included_brings_what_its_owners_name(church: Simulator, name: str, edge: str) -> None:
    collection = church.world.collection(name)
    documents = [collection.document(one) for one in collection.ids[:48]]
    included = [json.loads(one) for one in include(church.world, collection, documents, [edge], {})]
    named = set()
    for document in documents:
        data = document["relationships"][edge]["data"]
        named |= {one["id"] for one in (data if isinstance(data, list) else [data] if data else [])}
    assert included
    assert {one["id"] for one in included} == named


SIDELOADED = [
    ("people.Person", "field_data", "customizable"),
    *(("people.Person", edge, "person") for edge in ("person_apps", "platform_notifications")),
    *(("people.List", edge, "list") for edge in ("rules", "shares")),
    ("giving.Donation", "designations", "donation"),
    ("giving.RecurringDonation", "designations", "recurring_donation"),
    ("check-ins.CheckIn", "check_in_times", "check_in"),
    *(("calendar.EventInstance", edge, "event_instance") for edge in ("event_times", "resource_bookings", "tags")),
    ("calendar.TagGroup", "tags", "tag_group"),
    ("services.Team", "team_leaders", "team"),
    ("services.Team", "team_positions", "team"),
    ("services.Team", "person_team_position_assignments", "team"),
    *(("services.Person", edge, "person") for edge in ("emails", "team_leaders")),
    *(("services.Plan", edge, "plan") for edge in ("contributors", "plan_times")),
    *(("services.Item", edge, "item") for edge in ("item_notes", "item_times", "item_assignments")),
    *(("registrations.Signup", edge, "signup") for edge in ("selection_types", "signup_times")),
]
"""Owner, edge, and how a child is told whose it is."""


@pytest.mark.parametrize(("owner", "edge", "reference"), SIDELOADED)
def test_an_include_brings_what_the_list_below_the_owner_shows_whatever_changes(
    owner: str, edge: str, reference: str
) -> None:
    one = simulator(people=101, groups=4)
    owners = one.world.collection(owner)
    first, second = owners.ids[:2]
    children = str(one.world.edges.of(owners.entity)[edge].target)

    def change(operation: str, **what: Any) -> tuple[list[str], dict[str, list[str]]]:
        made = Change(operation=operation, entity=children, **what).apply(one.world)
        return [str(each) for each in made], agree_with_their_lists(one, owner, edge)

    before = agree_with_their_lists(one, owner, edge)
    made, after = change("create", count=3, relationships={reference: first})
    assert after == before | {str(first): before[str(first)] + made}
    _, after = change("edit", id=made[0], relationships={reference: second})
    assert after == before | {str(first): before[str(first)] + made[1:], str(second): before[str(second)] + made[:1]}
    _, after = change("delete", id=made[1])
    assert after[str(first)] == before[str(first)] + made[2:]
    Change(operation="create", entity=owner).apply(one.world)
    later = agree_with_their_lists(one, owner, edge)
    assert all(later.get(name, named) == named for name, named in after.items()), "a new owner takes nothing away"


@pytest.mark.parametrize(("owner", "edge"), [("people.Person", "households"), ("people.Household", "people")])
def test_an_include_brings_what_the_list_below_the_owner_shows_where_one_half_names_the_other(
    owner: str, edge: str
) -> None:
    one = simulator(people=101, groups=4)
    (gone, *_) = agree_with_their_lists(one, owner, edge).values()
    children = one.world.edges.of(one.world.collection(owner).entity)[edge].target
    Change(operation="delete", entity=str(children), id=gone[0]).apply(one.world)
    collection = one.world.collection(owner)
    documents = [collection.loaded(collection.ids[0])]
    rows = [json.loads(each)["id"] for each in include(one.world, collection, documents, [edge], {})]
    assert rows == gone[1:]


def agree_with_their_lists(one: Simulator, owner: str, edge: str) -> dict[str, list[str]]:
    """The ids that owners name, each included once and as the list below its owner shows it."""
    collection = one.world.collection(owner)
    documents = [collection.loaded(each) for each in (*collection.ids[:12], collection.ids[-1])]
    rows = [json.loads(each) for each in include(one.world, collection, documents, [edge], {})]
    included = {each["id"]: each for each in rows}
    found = {}
    for document in documents:
        named = [each["id"] for each in document["relationships"][edge]["data"]]
        address = document["links"]["self"].partition("planningcenteronline.com")[2]
        lists = [page(one, f"{address}/{edge}", f"per_page=100&offset={offset}")["data"] for offset in (0, 100)]
        assert [each for records in lists for each in records] == [included[each] for each in named]
        lone = page(one, address, f"include={edge}")
        assert [each["id"] for each in lone["data"]["relationships"][edge]["data"]] == named
        found[document["id"]] = named
    assert len(rows) == len(included)
    return found


@pytest.mark.parametrize(
    ("owner", "edge", "kind"),
    [
        ("groups.Group", "location", "groups.Location"),
        ("groups.Group", "enrollment", "groups.Enrollment"),
        ("registrations.Signup", "signup_location", "registrations.SignupLocation"),
    ],
)
def test_what_exists_with_its_owner_only_comes_and_goes_with_it(owner: str, edge: str, kind: str) -> None:
    one = simulator(people=9, groups=3)
    owners, path = one.world.collection(owner), str(CATALOG.entity(owner).list_path)

    def brought() -> list[str]:
        document = page(one, path, f"include={edge}")
        assert [each["relationships"][edge]["data"]["id"] for each in document["data"]] == ids(document)
        assert document["included"] == one.state(kind)
        return [each["id"] for each in document["included"]]

    assert len(brought()) == 3
    made, gone = Change(operation="create", entity=owner).apply(one.world)[0], owners.ids[0]
    assert str(made) in brought()
    Change(operation="delete", entity=owner, id=gone).apply(one.world)
    assert str(gone) not in brought()
    Change(operation="restore", entity=owner, id=gone).apply(one.world)
    assert str(gone) in brought()


def test_a_donation_is_refunded_if_it_has_a_refund() -> None:
    one = simulator(people=87)
    made = Change(operation="create", entity="giving.Donation", count=3).apply(one.world)
    document = page(one, "/giving/v2/donations", "per_page=100&include=refund")
    refunds = {each["id"] for each in document["included"]}
    assert refunds == {each["id"] for each in document["data"] if each["attributes"]["refunded"]}
    assert len(refunds) == 2
    assert refunds.isdisjoint(map(str, made))


def test_an_include_of_two_levels_is_the_same_as_two_lists(church: Simulator) -> None:
    document = page(church, "/giving/v2/donations", "per_page=100&include=refund.designation_refunds,note,designations")
    refunded = [one for one in document["data"] if one["attributes"]["refunded"]]
    refunds = {one["id"]: one for one in document["included"] if one["type"] == "Refund"}
    parts = {one["id"]: one for one in document["included"] if one["type"] == "DesignationRefund"}
    assert len(refunds) == len(refunded) > 1
    for donation in refunded:
        path = f"/giving/v2/donations/{donation['id']}/refund"
        refund = refunds[donation["relationships"]["refund"]["data"]["id"]]
        named = [one["id"] for one in refund["relationships"]["designation_refunds"]["data"]]
        assert named == ids(page(church, f"{path}/designation_refunds"))
        assert page(church, path)["data"]["id"] == refund["id"]
        assert refund["attributes"]["amount_cents"] == sum(parts[one]["attributes"]["amount_cents"] for one in named)
    whole = next(one for one in document["data"] if not one["attributes"]["refunded"])
    assert whole["relationships"]["refund"] == {"data": None}
    assert ask(church, f"/giving/v2/donations/{whole['id']}/refund").answer.status == 404


def test_an_included_record_is_gone_when_it_was_deleted() -> None:
    one = simulator(people=9)
    email = page(one, query="include=emails")["included"][0]["id"]
    one.world.collection("people.Email").delete(int(email))
    document = page(one, query="include=emails")
    assert email not in [each["id"] for each in document["included"]]
    assert document["data"][0]["relationships"]["emails"]["data"] == []


def test_an_include_does_not_change_what_a_record_says_without_it() -> None:
    one = simulator(people=30)
    gone = ids(page(one))[4]
    one.world.collection("people.Person").delete(int(gone))
    one.world.collection("people.Campus").delete(one.world.collection("people.Campus").ids[0])
    for path, edge in (("/people/v2/households", "people"), (PEOPLE, "primary_campus")):
        plain, full = page(one, path), page(one, path, f"include={edge}")
        told = [record["relationships"][edge]["data"] for record in plain["data"]]
        assert [record["relationships"][edge]["data"] for record in full["data"]] == told
    assert gone not in [record["id"] for record in page(one, "/people/v2/households", "include=people")["included"]]


def test_a_record_alone_links_to_all_its_edges_and_those_links_lead_there(church: Simulator) -> None:
    person = page(church, f"{PEOPLE}/{ids(page(church))[1]}")["data"]
    links = {name: link for name, link in person["links"].items() if name not in {"self", "html"}}
    assert {"emails", "households", "marital_status", "organization", "workflow_cards"} <= links.keys()
    for name, link in links.items():
        if link is None:
            assert ask(church, f"{PEOPLE}/{person['id']}/{name}").answer.status == 404
        else:
            assert page(church, link.partition("planningcenteronline.com")[2])["data"] is not None
