"""A comparison finds exactly what differs in its stretch, and takes what is newer for no difference."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.comparison import Difference, Shown, are_in_order, compare
from tests.histories import histories

AS_OF = datetime(2026, 11, 27, tzinfo=UTC)
TIMES = st.integers(-5, 5).map(lambda hours: AS_OF + timedelta(hours=hours))
IDS = st.integers(1, 12).map(str)


@histories(200)
@given(listed=st.dictionaries(IDS, TIMES), mirrored=st.dictionaries(IDS, TIMES))
def test_it_finds_what_differs_and_nothing_else(listed: dict[str, datetime], mirrored: dict[str, datetime]) -> None:
    shown = [Shown(id=one, updated_at=at) for one, at in listed.items()]
    found = compare(shown, dict(mirrored), as_of=AS_OF, has_times=True)
    different = {one for one, at in listed.items() if mirrored.get(one) != at}
    newer = {one for one in different if listed[one] > AS_OF}
    assert found.newer == newer
    assert found.missing == different - newer - mirrored.keys()
    assert found.stale == (different - newer) & mirrored.keys()
    assert found.ghosts == mirrored.keys() - listed.keys()
    assert found.compared == listed.keys() | mirrored.keys()
    assert found.is_none == (not (found.missing or found.stale or found.ghosts))


def test_without_times_of_change_a_row_that_is_there_is_the_right_one() -> None:
    found = compare([Shown(id="1"), Shown(id="2")], {"1": None}, as_of=AS_OF, has_times=False)
    assert (found.missing, found.stale) == ({"2"}, set())


def test_who_was_created_since_is_newer() -> None:
    created = Shown(id="1", created_at=AS_OF + timedelta(seconds=1))
    assert compare([created], {}, as_of=AS_OF, has_times=True) == Difference(newer={"1"}, compared={"1"})


@pytest.mark.parametrize(
    ("ids", "in_order"),
    [(["9", "10"], True), (["10", "9"], False), (["1", "1"], False), (["a"], False), ([], True), (["5"], True)],
)
def test_the_order_of_ids_is_that_of_numbers(ids: list[str], in_order: bool) -> None:
    assert are_in_order(ids) is in_order
