"""What decides a result belongs to an epoch; how it is read does not."""

from typing import Any

import pytest

from pco_store.ledger.plans import compared, decisions_of

CHURCH: dict[str, Any] = {"include": ["giving", "people.*"], "exclude": [], "many_deletions": "stop"}


def difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Between two plans of a church."""
    return compared(decisions_of("full", one, None), decisions_of("full", other, None), is_list=False)


@pytest.mark.parametrize("how", ["groups_per_run", "most_under_way", "wait"])
def test_how_it_is_read_makes_no_difference(how: str) -> None:
    assert difference(CHURCH, {**CHURCH, how: 7}) == ""


def test_the_order_of_patterns_and_their_repetition_make_no_difference() -> None:
    assert difference(CHURCH, {**CHURCH, "include": ["people.*", "giving", "giving"]}) == ""


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"include": ["people.Person"]}, "include [giving, people.*] and not [people.Person]"),
        ({"exclude": ["giving.Fund"]}, "exclude [] and not [giving.Fund]"),
        ({"many_deletions": "accept"}, "many_deletions 'stop' and not 'accept'"),
    ],
)
def test_what_decides_the_result_is_told_by_name(other: dict[str, Any], told: str) -> None:
    assert difference(CHURCH, {**CHURCH, **other}) == told


def test_a_plan_from_before_plans_were_kept_has_the_defaults() -> None:
    assert difference({}, {"include": [], "exclude": [], "many_deletions": "stop"}) == ""


def test_other_parents_are_another_fan_out() -> None:
    one, other = ({"below": below, "groups_per_run": 1} for below in (["groups.Group"], ["groups.Event"]))
    assert compared(decisions_of("full", None, one), decisions_of("full", None, other), is_list=True) == (
        "below [groups.Group] and not [groups.Event]"
    )


@pytest.mark.parametrize(
    ("begun", "wanted", "is_list", "differs"),
    [
        ("full", "delta", True, False),
        ("delta", "full", True, True),
        ("full", "delta", False, True),
        ("rest", "full", False, True),
    ],
)
def test_a_list_that_is_read_in_full_is_all_that_a_delta_wants(
    begun: str, wanted: str, is_list: bool, differs: bool
) -> None:
    modes = (decisions_of(mode, None, None) for mode in (begun, wanted))
    assert bool(compared(*modes, is_list=is_list)) is differs
