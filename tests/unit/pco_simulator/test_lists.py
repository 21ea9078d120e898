"""Lists behave as PCO's: pages, order, filters that are ignored without a word, hidden groups, includes, fields."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pco_catalog import load_catalog
from pco_simulator.answering.including import include
from pco_simulator.contents.churn import Change
from pco_simulator.simulator import Simulator
from tests.unit.pco_simulator.asking import PEOPLE, all_ids, ask, ids, page, simulator

GROUPS = "/groups/v2/groups"


def values(document: dict[str, object], name: str) -> list[object]:
    records = document["data"]
    assert isinstance(records, list)
    return [one["attributes"][name] for one in records]


def test_the_same_seed_invents_the_same_church_and_another_seed_another_one() -> None:
    assert page(simulator(seed=5)) == page(simulator(seed=5))
    assert page(simulator(seed=5))["data"] != page(simulator(seed=6))["data"]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_following_the_next_offsets_reads_every_record_once_in_id_order(size: int) -> None:
    one = simulator(people=40)
    found: list[str] = []
    offset: int | None = 0
    while offset is not None:
        document = page(one, query=f"per_page={size}&offset={offset}")
        found += ids(document)
        offset = document["meta"].get("next", {}).get("offset")
    assert found == [record["id"] for record in one.state("people.Person")]
    assert [int(one) for one in found] == sorted(map(int, found))


def test_ids_grow_by_a_digit_so_that_their_order_as_text_is_another_one() -> None:
    found = all_ids(simulator(people=400))
    assert sorted(found) != found


def test_without_a_size_a_page_has_25_records() -> None:
    assert len(page(simulator())["data"]) == 25


def test_a_size_above_100_is_capped_while_the_next_link_still_says_it() -> None:
    document = page(simulator(), query="per_page=500")
    assert len(document["data"]) == document["meta"]["count"] == 100
    assert document["meta"]["next"] == {"offset": 100}
    assert "per_page=500" in document["links"]["next"]
    assert "offset=100" in document["links"]["next"]


def test_a_size_of_0_is_an_endless_loop_for_who_follows_the_next_offset() -> None:
    document = page(simulator(), query="per_page=0")
    assert document["data"] == []
    assert document["meta"]["next"] == {"offset": 0}


@pytest.mark.parametrize("offset", [230, 231, 9_999])
def test_at_or_past_the_end_a_page_is_empty_and_nothing_follows(offset: int) -> None:
    document = page(simulator(people=230), query=f"per_page=100&offset={offset}")
    assert document["data"] == []
    assert "next" not in document["meta"]
    assert "next" not in document["links"]
    assert document["meta"]["total_count"] == 230


def test_links_lead_to_the_real_host() -> None:
    document = page(simulator(), query="offset=25")
    assert all(link.startswith("https://api.planningcenteronline.com/") for link in document["links"].values())
    assert document["meta"]["prev"] == {"offset": 0}


def test_links_write_the_query_as_recorded_ones_do() -> None:
    query = "per_page=1&where[updated_at][gte]=2020-01-01T00:00:00Z&include=emails,addresses"
    told = "?include=emails%2Caddresses&offset=1&per_page=1&where[updated_at][gte]=2020-01-01T00%3A00%3A00Z"
    assert page(simulator(people=9), query=query)["links"]["next"].endswith(told)


@pytest.mark.parametrize(
    "query",
    [
        "where[shoe_size]=44",
        "where[emails][address]=x@example.org",
        "where[first_name][gte]=2020-01-01T00:00:00Z",
        "where[updated_at][around]=2020-01-01T00:00:00Z",
        "order=shoe_size",
        "order=id",
        "include=shoes",
        "filter=nobody",
    ],
)
def test_what_is_not_known_is_ignored_with_200_and_the_whole_collection(query: str) -> None:
    one = simulator()
    assert all_ids(one, query=query) == all_ids(one)


def test_a_value_that_does_not_fit_the_type_finds_nothing() -> None:
    document = page(simulator(), query="where[grade]=abc")
    assert document["data"] == []
    assert document["meta"]["total_count"] == 0


def test_equality_folds_case_and_takes_wildcards() -> None:
    one = simulator()
    name = str(values(page(one), "last_name")[0])
    expected = [
        record["id"]
        for record in one.state("people.Person")
        if record["attributes"]["last_name"].lower() == name.lower()
    ]
    assert all_ids(one, query=f"where[last_name]={name.upper()}") == expected
    assert set(expected) <= set(all_ids(one, query=f"where[last_name]={name[:2]}%25"))
    assert all_ids(one, query=f"where[status]=active&where[last_name]={name}") != expected


@pytest.mark.parametrize(("operator", "kept"), [("gt", 2), ("gte", 3), ("lt", 2), ("lte", 3)])
def test_ranges_of_times_hold_their_bounds_to_the_second(operator: str, kept: int) -> None:
    one = simulator(people=5)
    middle = one.state("people.Person")[2]["attributes"]["created_at"]
    assert len(all_ids(one, query=f"where[created_at][{operator}]={middle}")) == kept


def test_ranges_of_days_compare_days() -> None:
    one = simulator()
    born = sorted(str(day) for day in values(page(one, query="per_page=100"), "birthdate") if day)
    document = page(one, query=f"per_page=100&where[birthdate][lte]={born[3]}")
    assert sorted(str(day) for day in values(document, "birthdate"))[-1] == born[3]


def test_a_time_zone_in_a_range_is_ignored() -> None:
    one = simulator()
    bound = one.state("people.Person")[100]["attributes"]["created_at"].removesuffix("Z")
    assert all_ids(one, query=f"where[created_at][lt]={bound}%2B05:00") == all_ids(
        one, query=f"where[created_at][lt]={bound}Z"
    )


def test_order_puts_nulls_first_and_breaks_ties_by_id() -> None:
    one = simulator()
    found = all_ids(one, query="order=grade")
    grades = {record["id"]: record["attributes"]["grade"] for record in one.state("people.Person")}
    assert None in grades.values()
    assert found == sorted(grades, key=lambda each: (grades[each] is not None, grades[each] or 0, int(each)))
    assert grades[all_ids(one, query="order=-grade")[-1]] is None


def test_text_is_ordered_without_regard_to_case_and_accents() -> None:
    one = simulator(people=3)
    people = [int(record["id"]) for record in one.state("people.Person")]
    for identifier, name in zip(people, ("öst", "Oslo", "Otto"), strict=True):
        one.world.collection("people.Person").edit(identifier, {"last_name": name})
    assert values(page(one, query="order=last_name"), "last_name") == ["Oslo", "öst", "Otto"]


def test_archived_groups_are_hidden_unless_they_are_asked_for() -> None:
    one = simulator(groups=10)
    gone = int(page(one, GROUPS)["data"][3]["id"])
    one.world.collection("groups.Group").edit(gone, {"archived_at": "2024-01-01T00:00:00Z"})
    assert page(one, GROUPS)["meta"]["total_count"] == 9
    assert page(one, GROUPS, "where[archive_status]=include")["meta"]["total_count"] == 10
    assert ids(page(one, GROUPS, "where[archive_status]=only")) == [str(gone)]


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


def test_fields_drop_what_they_do_not_name_and_show_what_is_hidden_otherwise() -> None:
    document = page(simulator(), query="fields[Person]=first_name,mfa_configured,shoes&include=emails")
    record = document["data"][0]
    assert set(record["attributes"]) == {"first_name", "mfa_configured"}
    assert "relationships" not in record
    assert "included" not in document, "an edge that is not named is not followed"
    assert "mfa_configured" not in page(simulator())["data"][0]["attributes"]


def test_a_list_below_a_parent_holds_the_records_that_name_it() -> None:
    one = simulator(groups=4)
    group = page(one, GROUPS)["data"][2]["id"]
    members = page(one, f"{GROUPS}/{group}/memberships")
    events = page(one, f"{GROUPS}/{group}/events", "per_page=100")
    assert members["meta"]["total_count"] == 10
    assert events["meta"]["total_count"] == 12
    for record in (*members["data"], *events["data"]):
        assert record["relationships"]["group"]["data"]["id"] == group
    assert members["meta"]["parent"] == {"id": group, "type": "Group"}


def test_a_list_below_a_parent_follows_what_is_created_moved_and_deleted() -> None:
    one = simulator(groups=3)
    first, second, _ = ids(page(one, GROUPS))
    path = f"{GROUPS}/{{}}/memberships"
    members = ids(page(one, path.format(first)))
    assert len(ids(page(one, path.format(second)))) == 10
    memberships = one.world.collection("groups.Membership")

    memberships.delete(int(members[0]))
    memberships.edit(int(members[1]), {}, {"group": {"data": {"type": "Group", "id": second}}})
    memberships.edit(int(members[2]), {"role": "leader"})

    assert ids(page(one, path.format(first))) == members[2:]
    assert members[1] in ids(page(one, path.format(second)))
    memberships.restore(int(members[0]))
    assert ids(page(one, path.format(first))) == [members[0], *members[2:]]


def test_the_people_of_a_household_are_those_that_it_names() -> None:
    one = simulator()
    household = page(one, "/people/v2/households")["data"][1]
    people = page(one, f"/people/v2/households/{household['id']}/people")
    assert ids(people) == [each["id"] for each in household["relationships"]["people"]["data"]]
    assert len(people["data"]) == 3


def test_a_merged_persons_emails_move_to_the_survivor() -> None:
    one = simulator()
    gone, kept, *_ = ids(page(one))
    before = ids(page(one, f"{PEOPLE}/{gone}/emails")) + ids(page(one, f"{PEOPLE}/{kept}/emails"))
    Change(operation="merge", entity="people.Person", id=gone, into=kept).apply(one.world)
    assert ask(one, f"{PEOPLE}/{gone}").answer.status == 404
    assert sorted(ids(page(one, f"{PEOPLE}/{kept}/emails"))) == sorted(before)
    merger = page(one, "/people/v2/person_mergers")["data"][0]["attributes"]
    assert (merger["person_to_keep_id"], merger["person_to_remove_id"]) == (int(kept), int(gone))


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


def test_a_search_by_name_finds_words_that_begin_so() -> None:
    one = simulator(people=3)
    people = one.world.collection("people.Person")
    for identifier, (first, last) in zip(
        people.ids, (("Ada", "van der Demo"), ("Wanda", "Ex"), ("Bo", "Ada")), strict=True
    ):
        names = {"first_name": first, "last_name": last, "name": f"{first} {last}"}
        people.edit(identifier, names | {"nickname": None, "given_name": None})
    everyone = all_ids(one)
    assert all_ids(one, query="where[search_name]=ada") == [everyone[0], everyone[2]]
    assert all_ids(one, query="where[search_name]=der%20D") == [everyone[0]]
    assert all_ids(one, query="where[search_name]=Ada%20van") == [everyone[0]]
    assert all_ids(one, query="where[search_name]=emo") == []


def test_filters_are_those_of_the_list() -> None:
    one = simulator()
    household = ids(page(one, "/people/v2/households"))[0]
    assert page(one)["meta"]["can_filter"] == ["admins", "created_since", "organization_admins"]
    below = page(one, f"/people/v2/households/{household}/people")
    assert below["meta"]["can_filter"] == ["non_pending", "without_deceased"]
    assert "can_filter" not in page(one, f"/people/v2/lists/{ids(page(one, '/people/v2/lists'))[0]}/people")["meta"]


def test_a_filter_parts_what_is_to_come_from_what_is_over_as_time_goes_by() -> None:
    one = simulator(groups=5, now=datetime(2031, 5, 14, 9, 30, tzinfo=UTC))
    events = "/groups/v2/events"
    now = one.world.now().isoformat()
    begins = {each["id"]: each["attributes"]["starts_at"] for each in one.state("groups.Event")}
    upcoming = all_ids(one, events, "filter=upcoming")
    assert upcoming == [each for each in begins if begins[each] > now]
    assert len(upcoming) == 5 * 4
    assert page(one, events, "filter=upcoming&per_page=3")["meta"]["total_count"] == 5 * 4
    one.world.clock_ahead = 7 * 86_400
    assert len(all_ids(one, events, "filter=upcoming")) == 5 * 3
    assert page(one, events, "filter=upcoming&per_page=3")["meta"]["total_count"] == 5 * 3
    below = f"{GROUPS}/{ids(page(one, GROUPS))[0]}/events"
    assert len(all_ids(one, below, "filter=upcoming")) == 12, "this list does not know the filter"


def test_some_attributes_hold_the_id_of_a_relationship_as_a_number() -> None:
    (first, *_) = page(simulator(), "/people/v2/field_definitions")["data"]
    assert first["attributes"]["tab_id"] == int(first["relationships"]["tab"]["data"]["id"])
    household = page(simulator(), "/people/v2/households")["data"][0]
    assert household["attributes"]["primary_contact_id"] == household["relationships"]["primary_contact"]["data"]["id"]
