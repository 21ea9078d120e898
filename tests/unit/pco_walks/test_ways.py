"""Which way each resource is read, and what is said about it: all from the catalogue."""

from datetime import UTC, datetime

import pytest

from pco_catalog.catalog import load_catalog
from pco_walks.explanations import explain
from pco_walks.ways import Way, ways_of
from pco_walks.window import WHOLE, Window
from tasks.request_plan import pages_of

CATALOG = load_catalog()
FULL = Window(attribute="created_at", since=None, until=datetime(2026, 11, 28, tzinfo=UTC))
LISTED = CATALOG.entities()


def names(ways: list[Way]) -> set[str]:
    return {way.entity.name for way in ways}


def test_everything_that_is_listed_somewhere_is_read_in_a_full_sync() -> None:
    top, below = ways_of(CATALOG, LISTED, mode="full", known=set())
    assert len(top) == len(CATALOG.entities(top_level_only=True))
    assert names(top) | names(below) == {entity.name for entity in LISTED}
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
