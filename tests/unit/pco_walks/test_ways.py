"""Which way each resource is read, and what is said about it: all from the catalogue."""

from datetime import UTC, datetime

import pytest

from pco_catalog.catalog import load_catalog
from pco_catalog.due_lists import load_due_rules
from pco_walks.explanations import explain
from pco_walks.ways import OrganizationMode, Way, ways_of
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
    _, some = ways_of(CATALOG, LISTED, mode="full", known=set(), with_rare=False)
    _, nightly = ways_of(CATALOG, LISTED, mode="rest", known=set(), with_rare=False)
    assert names(everything) - names(some) == rare
    assert names(nightly) == names(everything)


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
        ("people.ConnectedPerson", "once in 56 days; after everything else"),
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
