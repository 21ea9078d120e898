"""A comparison finds exactly what differs in its stretch, by content, and takes what is newer for no difference."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pco_catalog.catalog import load_catalog
from pco_store.mirror.upsert_rules import HASH_BYTES
from tasks.rows.transform import transform_page
from tasks.verification.comparison import SKEW, Difference, Moment, Shown, are_in_order, compare, is_same
from tests.histories import histories

PERSON = load_catalog().entity("people.Person")
STATUS = load_catalog().entity("people.MaritalStatus")
AS_OF = datetime(2026, 11, 27, tzinfo=UTC)
NOW = AS_OF + timedelta(hours=3)
MOMENT = Moment(as_of=AS_OF, began=NOW, now=NOW)
BEFORE = AS_OF - timedelta(hours=1)
IDS = st.integers(1, 12).map(str)
VERSIONS = st.tuples(st.sampled_from(range(-2, 3)), st.sampled_from("ab"))


@dataclass(frozen=True)
class Row:
    """A row of the mirror."""

    updated_at: datetime | None
    content_hash: bytes
    written_at: datetime = BEFORE


def hashed(content: str) -> bytes:
    return content.encode().ljust(HASH_BYTES, b".")


def shown(identity: str, content: str = "a", **times: Any) -> Shown:
    return Shown(id=identity, content_hash=hashed(content), **times)


def at(hours: int) -> datetime:
    return AS_OF + timedelta(hours=hours)


@histories(200)
@given(listed=st.dictionaries(IDS, VERSIONS), mirrored=st.dictionaries(IDS, VERSIONS))
def test_it_finds_what_differs_and_nothing_else(
    listed: dict[str, tuple[int, str]], mirrored: dict[str, tuple[int, str]]
) -> None:
    found = compare(
        [shown(one, content, updated_at=at(hours)) for one, (hours, content) in listed.items()],
        {one: Row(at(hours), hashed(content)) for one, (hours, content) in mirrored.items()},
        entity=PERSON,
        moment=MOMENT,
    )
    different = {one for one, version in listed.items() if mirrored.get(one) != version}
    newer = {one for one in different if listed[one][0] > 0}
    assert found == Difference(
        unmirrored=different - newer - mirrored.keys(),
        outdated=(different - newer) & mirrored.keys(),
        ghosts=mirrored.keys() - listed.keys(),
        newer=newer,
        added=newer - mirrored.keys(),
        same=listed.keys() - different,
    )


def test_who_was_created_since_is_newer() -> None:
    found = compare([shown("1", created_at=at(1))], {}, entity=PERSON, moment=MOMENT)
    assert found == Difference(newer={"1"}, added={"1"})


@pytest.mark.parametrize(("ahead", "is_newer"), [(SKEW, True), (SKEW + timedelta(seconds=1), False)])
def test_a_time_in_the_future_is_no_time_of_change(ahead: timedelta, is_newer: bool) -> None:
    assert MOMENT.is_newer(shown("1", updated_at=NOW + ahead)) is is_newer


def test_what_the_mirror_wrote_after_the_comparison_began_is_newer() -> None:
    rows = {"1": Row(None, hashed("b"), NOW), "2": Row(None, hashed("b"), NOW)}
    found = compare([shown("1")], rows, entity=STATUS, moment=MOMENT)
    assert found == Difference(newer={"1", "2"})


def test_without_times_of_change_the_content_decides() -> None:
    rows = {"1": Row(None, hashed("a")), "2": Row(None, hashed("b"))}
    found = compare([shown("1"), shown("2")], rows, entity=STATUS, moment=MOMENT)
    assert found == Difference(same={"1"}, outdated={"2"})


def test_what_is_in_quarantine_is_not_unmirrored() -> None:
    found = compare([shown("1"), shown("2")], {}, entity=STATUS, moment=MOMENT, quarantined=frozenset({"1"}))
    assert found == Difference(quarantined={"1"}, unmirrored={"2"})


def test_a_row_that_stands_in_another_list_is_not_the_same() -> None:
    rows = {"1": Row(None, hashed("a")), "2": Row(None, hashed("a")), "3": Row(None, hashed("a"), NOW)}
    found = compare([shown(one) for one in "123"], rows, entity=STATUS, moment=MOMENT, misplaced={"2", "3"})
    assert found == Difference(same={"1"}, outdated={"2"}, newer={"3"})


def test_of_what_differed_twice_nothing_else_is_kept() -> None:
    found = Difference(unmirrored={"1", "2"}, ghosts={"3"}, outdated={"4"}, same={"5"})
    found.keep({"1", "4", "5"})
    assert (found, found.ids) == (Difference(unmirrored={"1"}, outdated={"4"}, same={"5"}), {"1", "4"})


def test_what_may_have_come_with_a_changed_owner_is_newer_and_what_has_gone_is_not() -> None:
    found = Difference(unmirrored={"1"}, ghosts={"3"}, outdated={"4"}, newer={"5"})
    found.excuse_changes()
    assert found == Difference(ghosts={"3"}, newer={"1", "4", "5"}, added={"1"})


def values_of(**changes: Any) -> tuple[Shown, dict[str, Any]]:
    """A person as shown, and the columns of a row that holds it, less what differs."""
    attributes = {"first_name": "Ada", "birthdate": "1990-02-03", "child": False, "remote_id": 7, "new_one": [1, 2.5]}
    relationships = {"primary_campus": {"data": {"type": "PrimaryCampus", "id": "5"}}}
    record = {"type": "Person", "id": "1", "attributes": attributes, "relationships": relationships}
    page = transform_page([record], entity=PERSON, org_id="grace", epoch="e", observed_at=BEFORE)
    (row,) = page.rows
    stored = {**row, "extra": {"new_one": [1, 2.5], **changes.pop("extra", {})}, **changes}
    return Shown(id="1", content_hash=hashed("a"), row=row), stored


@pytest.mark.parametrize(
    ("changes", "is_the_same"),
    [
        ({}, True),
        ({"first_name": "Eve"}, False),
        ({"birthdate": None}, False),
        ({"birthdate": None, "extra": {"birthdate": "1990-02-03"}}, True),
        ({"primary_campus_id": "6"}, False),
        ({"nickname": "A"}, False),
        ({"extra": {"new_one": [1]}}, False),
    ],
)
def test_a_row_of_an_older_version_is_compared_by_its_values(changes: dict[str, Any], is_the_same: bool) -> None:
    record, stored = values_of(**changes)
    old = Row(None, b"0123456789abcdef")
    assert is_same(record, old, PERSON, stored) is is_the_same
    assert is_same(record, old, PERSON, None) is False, "without its values nobody can tell"


@pytest.mark.parametrize(
    ("ids", "in_order"),
    [(["9", "10"], True), (["10", "9"], False), (["1", "1"], False), (["a"], False), ([], True), (["5"], True)],
)
def test_the_order_of_ids_is_that_of_numbers(ids: list[str], in_order: bool) -> None:
    assert are_in_order(ids) is in_order
