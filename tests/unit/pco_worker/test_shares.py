"""Which work queues a worker still takes runs of, by what it holds already."""

import pytest

from deployments.provisioning.worker import SHARES
from pco_worker.shares import Shares, SharesError, are_half_free


def filled(limit: int, *order: str, words: str = SHARES) -> dict[str, int]:
    """How many places each queue has, when each of them in its turn takes all it can get."""
    shares, taken = Shares.parse(words, limit=limit), dict.fromkeys(order, 0)
    for queue in order:
        while sum(taken.values()) < limit and shares.room(queue, taken):
            taken[queue] += 1
    return taken


def test_runs_that_wait_for_children_leave_places_to_these_and_all_of_them_leave_one_to_a_person() -> None:
    assert filled(10, "background", "children", "deltas", "default") == {
        "background": 3,
        "children": 5,
        "deltas": 1,
        "default": 1,
    }
    assert filled(20, "deltas", "default", "children") == {"deltas": 16, "default": 2, "children": 2}
    assert filled(20, "default", "deltas", "children") == {"default": 16, "deltas": 2, "children": 2}


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_a_small_worker_has_a_place_for_each(limit: int) -> None:
    for queue in ("default", "deltas", "background", "children"):
        assert filled(limit, queue)[queue] >= 1
    if limit > 1:
        assert filled(limit, "background", "children")["children"] >= 1
        assert filled(limit, "default", "deltas", "background", "children")["children"] >= 1, "or parents wait for ever"


def test_queues_without_a_share_take_what_they_can() -> None:
    assert filled(10, "somebodys") == {"somebodys": 10}
    assert filled(10, "background", words="") == {"background": 10}


@pytest.mark.parametrize(
    ("taken", "reached", "are_free"),
    [
        ({}, [], True),
        ({"children": 9}, [], True),
        ({"children": 10}, [10], False),
        ({"background": 6, "children": 2}, [6], False),
        ({"default": 9, "": 11}, [20], False),
        ({"default": 16}, [16], False),
    ],
)
def test_what_is_full_is_waited_for_until_half_of_it_is_free(
    taken: dict[str, int], reached: list[int], are_free: bool
) -> None:
    bounds = Shares.parse(SHARES, limit=20).reached(taken)
    assert [one.most for one in bounds] == reached
    assert are_half_free(bounds, taken) == are_free
    assert are_half_free(bounds, {queue: held // 2 for queue, held in taken.items()})


def test_a_share_is_a_place_at_least() -> None:
    assert filled(10, "background", words="background=0.00000001") == {"background": 1}


@pytest.mark.parametrize(
    "words", ["background", "background=x", "background=0", "background=1.5", "background=-1", "=0.5", "a+=0.5"]
)
def test_what_is_no_share_is_refused(words: str) -> None:
    with pytest.raises(SharesError, match="PCO_WORKER_SHARES"):
        Shares.parse(words, limit=10)
