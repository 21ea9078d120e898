"""Lists behave as PCO's: pages, order, filters that are ignored without a word, hidden groups, includes, fields."""

from datetime import UTC, datetime

import pytest

from pco_simulator.contents.churn import Change
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
