"""Which way each resource is read, and what is said about it: all from the catalogue."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pco_catalog.catalog import load_catalog
from pco_catalog.due_lists import load_due_rules
from pco_catalog.patterns import select_entities
from pco_walks.explanations import explain
from pco_walks.ways import OrganizationMode, Way, excluded_in_vain, stages_of, ways_of
from pco_walks.window import WHOLE, Window
from tasks.request_plan import pages_of

CATALOG = load_catalog()
FULL = Window(attribute="created_at", since=None, until=datetime(2026, 11, 28, tzinfo=UTC))
LISTED = CATALOG.entities()


def names(ways: list[Way]) -> set[str]:
    return {way.entity.name for way in ways}


def test_everything_that_is_mirrored_is_read_in_a_full_sync_or_comes_with_what_is() -> None:
    top, below = ways_of(CATALOG, LISTED, mode="full", known=set())
    assert len(top) == len(CATALOG.entities(top_level_only=True))
    brought = {one.entity for way in (*top, *below) for one in CATALOG.sideloads.get(way.entity.name, ())}
    assert names(top) | names(below) | brought == {entity.name for entity in LISTED}
    assert names(below).isdisjoint(brought)
    assert all(way.chain is not None and way.chain.levels[-1].entity is way.entity for way in below)


def test_a_delta_and_the_rest_are_everything_and_share_nothing() -> None:
    known = {entity.name for entity in LISTED}
    changed, below = ways_of(CATALOG, LISTED, mode="delta", known=known)
    rest, children = ways_of(CATALOG, LISTED, mode="rest", known=known)
    full, all_children = ways_of(CATALOG, LISTED, mode="full", known=known)
    assert below == []
    assert {way.mode for way in changed} == {"delta"}
    assert names(changed) & names(rest) == set()
    assert names(changed) | names(rest) == names(full)
    assert names(children) == names(all_children)


@pytest.mark.parametrize("mode", ["full", "delta"])
def test_what_comes_with_its_owners_is_read_by_their_list(mode: OrganizationMode) -> None:
    refunds = [CATALOG.entity("giving.DesignationRefund"), CATALOG.entity("giving.Donation")]
    top, below = ways_of(CATALOG, refunds, mode=mode, known={"giving.Donation"})
    assert [(way.entity.name, way.mode) for way in top] == [("giving.Donation", mode)]
    assert below == []


@pytest.mark.parametrize("include", ["refund", "refund.designation_refunds"])
def test_what_an_include_did_not_bring_in_full_is_read_below_its_owners(include: str) -> None:
    distrusted = {("giving.Donation", include)}
    chosen = [CATALOG.entity(name) for name in ("giving.DesignationRefund", "giving.Refund", "giving.Designation")]
    top, below = ways_of(CATALOG, chosen, mode="full", known=set(), distrusted=distrusted)
    assert names(below) == {"giving.DesignationRefund"}
    assert names(top) == {"giving.Donation"}
    assert ways_of(CATALOG, chosen, mode="delta", known=set(), distrusted=distrusted)[1] == []


def test_what_has_no_list_comes_with_its_owners_whatever_was_seen() -> None:
    refund, distrusted = CATALOG.entity("giving.Refund"), {("giving.Donation", "refund")}
    assert refund.comes_with_owner(distrusted)
    assert not CATALOG.entity("giving.DesignationRefund").comes_with_owner(distrusted)
    assert {one.entity for one in CATALOG.brought_by("giving.Donation", distrusted)} == {
        "giving.Designation",
        "giving.Note",
        "giving.Refund",
    }


def test_lists_are_those_at_top_level_in_full() -> None:
    top, below = ways_of(
        CATALOG, LISTED, mode="lists", known=names(ways_of(CATALOG, LISTED, mode="full", known=set())[0])
    )
    assert names(top) == {entity.name for entity in CATALOG.entities(top_level_only=True)}
    assert {way.mode for way in top} == {"full"}
    assert below == []


def test_a_full_sync_that_names_nothing_leaves_rare_kinds_to_the_nights() -> None:
    rare = {name for name in load_due_rules().rare if CATALOG.entity(name).sideload is None}
    _, everything = ways_of(CATALOG, LISTED, mode="full", known=set())
    _, some = ways_of(CATALOG, LISTED, mode="full", known=set(), include=())
    _, nightly = ways_of(CATALOG, LISTED, mode="rest", known=set(), include=())
    assert names(everything) - names(some) == rare
    assert names(nightly) == names(everything)
    parents = {name for way in some if way.chain is not None for name in way.chain.names}
    assert parents.isdisjoint(rare), "else the rare parents would be listed for what is below them"


def whole(include: tuple[str, ...]) -> set[str]:
    """Of which kinds that have a choice a full sync reads all lists."""
    kinds = {"groups.RSVP", "groups.EventNote", "people.WorkflowAssigneeWorkflowSummary"}
    return {
        way.entity.name
        for way in ways_of(CATALOG, LISTED, mode="full", known=set(), include=include)[1]
        if way.is_whole and way.entity.name in kinds
    }


def test_only_what_was_reviewed_is_read_in_part_and_only_where_no_pattern_asks_for_more() -> None:
    assert whole(()) == set()
    assert whole(("*",)) == {"groups.RSVP", "groups.EventNote"}
    assert whole(("people.WorkflowAssigneeWorkflowSummary", "groups")) == {
        "groups.RSVP",
        "groups.EventNote",
        "people.WorkflowAssigneeWorkflowSummary",
    }
    below = ways_of(CATALOG, LISTED, mode="full", known=set(), include=())[1]
    assert {way.entity.name for way in below if not way.is_whole} == {"groups.RSVP", "groups.EventNote"}


def test_members_and_attendance_are_read_before_all_else_below_parents_and_rare_kinds_after_it() -> None:
    below = ways_of(CATALOG, LISTED, mode="full", known=set())[1]
    stages = [names(stage) for stage in stages_of(below)]
    assert {"groups.Membership", "groups.Attendance"} <= stages[0]
    assert {name.partition(".")[0] for name in stages[0]} <= {"groups", "giving"}
    rare = {name for name in load_due_rules().rare if CATALOG.entity(name).sideload is None}
    places = {name: place for place, stage in enumerate(stages) for name in stage}
    assert min(places[name] for name in rare) > max(place for name, place in places.items() if name not in rare)


def test_parents_are_read_in_a_stage_before_what_is_below_them() -> None:
    below = ways_of(CATALOG, LISTED, mode="full", known=set())[1]
    places = {way.entity.name: place for place, stage in enumerate(stages_of(below)) for way in stage}
    assert len(places) == len(below)
    for way in below:
        assert way.chain is not None
        assert all(places[parent] < places[way.entity.name] for parent in way.chain.names if parent in places)


def test_what_is_excluded_and_read_all_the_same_is_named_with_the_reason() -> None:
    def vain(include: list[str], exclude: list[str], **more: Any) -> list[str]:
        return excluded_in_vain(CATALOG, select_entities(CATALOG, include, exclude), exclude, **more)

    assert vain([], ["giving.Designation"]) == ["giving.Designation comes with giving.Donation"]
    assert vain([], ["giving"]) == vain([], ["people.Email"]) == []
    assert vain(["giving.Don*", "giving.Refund"], ["giving.Donation"]) == ["giving.Donation is read for giving.Refund"]
    distrusted = {("giving.Donation", "designations")}
    assert vain([], ["giving.Designation"], distrusted=distrusted) == [], "then it has a list of its own"


def test_what_is_wanted_most_is_read_first() -> None:
    top, below = ways_of(CATALOG, LISTED, mode="full", known=set())
    assert [way.entity.name for way in top[:2]] == ["groups.Group", "groups.Event"]
    assert [way.entity.name for way in below[:2]] == ["groups.Membership", "groups.Attendance"]
    rare = {name for name in load_due_rules().rare if CATALOG.entity(name).sideload is None}
    assert names(below[-len(rare) :]) == rare


def test_what_the_mirror_counts_chooses_the_parents() -> None:
    def parents(counts: dict[str, int]) -> list[str]:
        (way,) = ways_of(CATALOG, [CATALOG.entity("check-ins.PersonEvent")], mode="rest", known=set(), counts=counts)[1]
        assert way.chain is not None
        return way.chain.names

    assert parents({"check-ins.Event": 50, "check-ins.Person": 20_000}) == ["check-ins.Event"]
    assert parents({"check-ins.Event": 50, "check-ins.Person": 2}) == ["check-ins.Person"]


@pytest.mark.parametrize(
    ("entity", "due"),
    [
        ("groups.Membership", "once in 14 days; earlier when memberships_count of the groups.Group changes"),
        ("groups.Attendance", "once in 14 days; and 1, 2, 3, 7, 14, 28 days after its starts_at"),
        ("giving.DesignationRefund", "once in 14 days; where refunded of the giving.Donation is true"),
        ("people.ConnectedPerson", "once in 56 days; after everything else; a full sync without patterns leaves it"),
        (
            "groups.RSVP",
            "once in 56 days; and -7, -1, 1 days after its starts_at; a full sync without patterns reads those of "
            "-7 to 1 days after it",
        ),
        (
            "people.WorkflowAssigneeWorkflowSummary",
            "once in 56 days; a full sync whose patterns choose it, but do not name the kind itself, reads those of a "
            "person_id of people.WorkflowAssigneeSummary or assignee_id of people.WorkflowCard, and what is due; after "
            "everything else; a full sync without patterns leaves it to the nights",
        ),
    ],
)
def test_the_rule_of_a_list_below_a_parent_is_explained(entity: str, due: str) -> None:
    assert next(one for one in explain(CATALOG, CATALOG.entity(entity)) if one.way.startswith("below")).due.startswith(
        due
    )


def test_what_was_never_read_is_read_in_full_before_a_delta() -> None:
    top, _ = ways_of(CATALOG, [CATALOG.entity("people.Person")], mode="delta", known=set())
    assert [way.mode for way in top] == ["full"]


@pytest.mark.parametrize(
    ("entity", "way", "walk", "relies_on"),
    [
        ("people.Person", "full", "frozen window", "where[created_at][lte]"),
        ("people.Person", "delta", "window from 10 minutes before the watermark", "where[updated_at][gte]"),
        ("people.Address", "full", "strict", "order by id"),
        ("people.Address", "delta", "newest first", "order=-updated_at"),
        ("people.PersonMerger", "delta", "window", "where[created_at][gte]"),
        ("people.NameSuffix", "delta", "none", ""),
        ("groups.Membership", "below groups.Group", "a list for each groups.Group", "each list"),
    ],
)
def test_each_way_says_its_walk_and_on_what_it_relies(entity: str, way: str, walk: str, relies_on: str) -> None:
    told = {one.way: one for one in explain(CATALOG, CATALOG.entity(entity))}
    assert walk in told[way].walk
    assert relies_on in told[way].relies_on
    assert told[way].because


def test_every_resource_can_be_explained() -> None:
    for entity in LISTED:
        ways = [one.way for one in explain(CATALOG, entity)]
        assert ways
        assert len(ways) == len(set(ways))


@pytest.mark.parametrize(
    ("records", "window", "requests"),
    [(0, FULL, 1), (100, FULL, 1), (101, FULL, 2), (101, WHOLE, 3), (100, WHOLE, 1), (25_000, FULL, 250)],
)
def test_a_walk_costs_a_page_per_hundred_records(records: int, window: Window, requests: int) -> None:
    assert pages_of(records, window=window, page_size=100, part_records=25_000) == requests


def test_a_million_records_cost_little_more_than_their_pages() -> None:
    assert 10_000 < pages_of(1_000_000, window=FULL, page_size=100, part_records=25_000) < 10_200
