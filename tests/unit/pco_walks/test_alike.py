"""A list whose pages show the same again and again has no end; a list that moves has one."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pco_walks.alike import MOST_ALIKE, Alike, EndlessListError


def note_many(alike: Alike, pages: int, *, part: int = 0, ids: tuple[str, ...] = ("1", "2"), first: int = 0) -> None:
    for number in range(pages):
        alike.note(part=part, offset=first + 100 * number, ids=ids)


@pytest.mark.parametrize("ids", [(), ("1", "2")])
def test_the_same_at_ever_greater_offsets_is_an_error_once_it_is_one_too_many(ids: tuple[str, ...]) -> None:
    alike = Alike()
    note_many(alike, MOST_ALIKE, ids=ids)
    with pytest.raises(EndlessListError, match=f"up to offset {100 * MOST_ALIKE}, {MOST_ALIKE} pages showed the same"):
        alike.note(part=0, offset=100 * MOST_ALIKE, ids=ids)


def test_other_records_other_parts_and_the_same_page_again_are_no_repetition() -> None:
    alike = Alike()
    for part in (0, 1):
        for ids in (("1", "2"), ("2", "1"), ()):
            note_many(alike, MOST_ALIKE, part=part, ids=ids)
            for _ in range(3):
                alike.note(part=part, offset=100 * (MOST_ALIKE - 1), ids=ids)


@given(st.lists(st.integers(0, 50), max_size=200).map(lambda offsets: sorted(offsets, reverse=True)))
def test_records_that_move_towards_the_front_are_no_repetition(offsets: list[int]) -> None:
    """A page of one record is read while those in front of it are deleted one by one."""
    alike = Alike()
    for offset in offsets:
        alike.note(part=0, offset=offset, ids=["7"])


def test_the_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(EndlessListError(300, 20)))
    assert (error.offset, error.pages) == (300, 20)
