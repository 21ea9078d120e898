"""`include` fails as PCO's does: dropped, missing for one owner, cut, late in one half, and too much for an answer."""

from typing import Any

import pytest

from pco_simulator.contents.churn import Change
from pco_simulator.simulator import Simulator
from pco_simulator.trouble.faults import Fault
from tests.unit.pco_simulator.asking import ask, ids, page, simulator

DONATIONS = "/giving/v2/donations"
INCLUDE = "include=designations,labels,note,refund.designation_refunds"
EDGE = "designations"


def donations(one: Simulator, query: str = "per_page=100") -> dict[str, Any]:
    return page(one, DONATIONS, f"{query}&{INCLUDE}")


def named(document: dict[str, Any], edge: str = EDGE) -> dict[str, list[str]]:
    """The ids that each owner names; an owner that does not name the edge is left out."""
    found = {one["id"]: one.get("relationships", {}).get(edge) for one in document["data"]}
    return {owner: [each["id"] for each in one["data"]] for owner, one in found.items() if one is not None}


def shown(document: dict[str, Any], kind: str = "Designation") -> list[str]:
    return [one["id"] for one in document.get("included", []) if one["type"] == kind]


def flat(lists: dict[str, list[str]]) -> list[str]:
    return [one for each in lists.values() for one in each]


def test_a_list_may_stop_to_know_an_include_between_two_pages() -> None:
    one = simulator(people=90)
    good = donations(one, "per_page=40&offset=40")
    one.faults.replace([Fault(kind="include-unknown", include=EDGE, path=DONATIONS, after=2, permanent=True)])
    first, second, third = (donations(one, f"per_page=40&offset={offset}") for offset in (80, 40, 0))
    assert EDGE in first["meta"]["can_include"]
    assert second == good
    assert third["meta"]["can_include"] == [each for each in good["meta"]["can_include"] if each != EDGE]
    assert not named(third)
    assert not shown(third)
    assert named(third, "labels"), "others are still known"
    assert shown(third, "Refund")
    assert shown(third, "DesignationRefund")
    assert [each.fault for each in one.log.entries] == ["", "", "", "include-unknown"]
    lone = page(one, f"{DONATIONS}/{ids(third)[0]}", INCLUDE)
    assert EDGE in lone["data"]["relationships"], "it is about the list"


def test_a_second_level_may_be_unknown_while_the_first_is_known() -> None:
    one = simulator(people=90)
    one.faults.replace([Fault(kind="include-unknown", include="refund.designation_refunds", permanent=True)])
    document = donations(one)
    assert "refund" in document["meta"]["can_include"]
    assert shown(document, "Refund")
    assert not shown(document, "DesignationRefund")


def test_the_edge_may_be_missing_from_one_owner() -> None:
    one = simulator(people=90)
    good = donations(one)
    owner = ids(good)[4]
    one.faults.replace([Fault(kind="include-missing", include=EDGE, record_id=owner, permanent=True)])
    bad = donations(one)
    assert named(bad) == {each: children for each, children in named(good).items() if each != owner}
    assert shown(bad) == flat(named(bad))
    assert bad["meta"] == good["meta"]
    assert ids(page(one, f"{DONATIONS}/{owner}/designations")) == named(good)[owner]


def test_both_halves_may_be_cut() -> None:
    one = simulator(people=90)
    good = named(donations(one))
    one.faults.replace([Fault(kind="include-cut", include=EDGE, number=1, permanent=True)])
    bad = donations(one)
    assert named(bad) == {owner: children[:1] for owner, children in good.items()}
    assert shown(bad) == flat(named(bad))
    assert any(len(children) > 1 for children in good.values())


def test_both_halves_may_be_cut_by_what_an_answer_holds_in_all() -> None:
    one = simulator(people=90)
    good = named(donations(one))
    one.faults.replace([Fault(kind="include-capped", include=EDGE, number=5, permanent=True)])
    bad = donations(one)
    assert flat(named(bad)) == flat(good)[:5]
    assert shown(bad) == flat(good)[:5]
    last = next(owner for owner, children in reversed(good.items()) if children)
    alone = page(one, f"{DONATIONS}/{last}", INCLUDE)
    assert shown(alone) == good[last], "whoever is asked for alone has all of them"


def test_either_half_may_lag_behind_the_other_one_for_some_answers() -> None:
    one = simulator(people=90)
    good = donations(one)
    last = {children[-1] for children in named(good).values()}
    one.faults.replace([Fault(kind="include-unshown", include=EDGE, times=2)])
    for _ in range(2):
        late = donations(one)
        assert named(late) == named(good)
        assert set(shown(late)) == set(shown(good)) - last
    assert donations(one) == good
    owner = ids(good)[0]
    one.faults.replace([Fault(kind="include-unnamed", include=EDGE, record_id=owner, times=1)])
    late = donations(one)
    assert named(late) == named(good) | {owner: named(good)[owner][:-1]}
    assert shown(late) == shown(good)
    assert donations(one) == good


def test_an_included_record_may_be_unusable() -> None:
    one = simulator(people=90)
    good = donations(one)
    owner = ids(good)[4]
    one.faults.replace([Fault(kind="include-spoilt", include=EDGE, record_id=owner, permanent=True)])
    bad = donations(one)
    spoilt = [each["id"] for each in bad["included"] if each["type"] == "Designation" and each["attributes"] == []]
    assert spoilt == named(good)[owner][-1:]
    assert named(bad) == named(good)
    assert shown(bad) == shown(good)


def test_a_reference_to_one_may_lag_too() -> None:
    one = simulator(people=90)
    refunded = next(each["id"] for each in donations(one)["data"] if each["attributes"]["refunded"])
    one.faults.replace([Fault(kind="include-unnamed", include="refund", record_id=refunded, permanent=True)])
    late = donations(one)
    owner = next(each for each in late["data"] if each["id"] == refunded)
    assert owner["relationships"]["refund"] == {"data": None}
    assert refunded in shown(late, "Refund")
    one.faults.replace([Fault(kind="include-unshown", include="refund.designation_refunds", permanent=True)])
    late = donations(one)
    assert shown(late, "Refund")
    assert not shown(late, "DesignationRefund")


def test_too_many_included_records_are_a_504_and_fewer_are_not() -> None:
    one = simulator(people=90)
    one.faults.replace([Fault(kind="include-too-big", include=EDGE, number=60, permanent=True)])
    assert ask(one, DONATIONS, f"per_page=80&{INCLUDE}").answer.status == 504
    assert ask(one, DONATIONS, f"per_page=40&{INCLUDE}").answer.status == 200
    assert ask(one, DONATIONS, "per_page=80&include=labels").answer.status == 200
    assert one.faults.fired == {"include-too-big": 1}
    assert [each.fault for each in one.log.entries] == ["include-too-big", "", ""]


def test_an_owner_may_have_thousands_of_children() -> None:
    one = simulator(people=30)
    owner, empty = ids(page(one, DONATIONS))[:2]
    change = Change(operation="create", entity="giving.Designation", count=3000, relationships={"donation": owner})
    made = [str(each) for each in change.apply(one.world)]
    document = page(one, DONATIONS, "per_page=1&include=designations")
    assert named(document)[owner][-3000:] == made
    assert shown(document)[-3000:] == made
    assert page(one, f"{DONATIONS}/{owner}/designations")["meta"]["total_count"] == len(named(document)[owner])
    assert len(named(page(one, DONATIONS, "include=designations"))[empty]) < 3


def test_an_include_that_was_not_requested_cannot_fail() -> None:
    one = simulator(people=30)
    good = page(one, DONATIONS, "include=labels")
    for kind in ("include-unknown", "include-missing", "include-cut", "include-unshown", "include-unnamed"):
        one.faults.replace([Fault(kind=kind, include=EDGE, number=1, permanent=True)])
        assert page(one, DONATIONS, "include=labels") == good
        assert "designations" in page(one, DONATIONS)["meta"]["can_include"]
    assert not one.faults.fired


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"kind": "500", "include": EDGE}, "nothing to do with the include"),
        ({"kind": "include-unknown", "record_id": 1}, "about the whole list"),
        ({"kind": "include-lost"}, "unknown fault 'include-lost'"),
        ({"kind": "500", "after": -1}, "after -1 requests cannot be"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Fault(**wrong)
