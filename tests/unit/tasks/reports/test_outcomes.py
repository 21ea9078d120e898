"""One verdict on a run, whoever asks: never better than what the ledger shows."""

from typing import Any

import pytest

from pco_store.ledger.results import LedgerRun
from tasks.reports.fan_out_summary import summarize_fan_out
from tasks.reports.organization_summary import (
    EntityEnd,
    WaitingLists,
    organization_of,
    organization_state,
    result_of,
    summarize_organization,
)
from tasks.reports.outcomes import end_of, joined_name, state_of
from tests.unit.tasks.run_facts import run_facts

MISSING = {"verdict": "too_many", "missing": 12, "deleted": 0}
EMPTY = {"verdict": "list_is_empty", "missing": 12, "deleted": 0}


@pytest.mark.parametrize(
    ("known", "outcome", "name", "reason"),
    [
        ({}, "completed", None, ""),
        ({"completed": 29, "lists": 29, "absent": 1}, "completed", None, ""),
        (
            {"completed": 29, "lists": 29, "dead": 1, "why": "ServerError: 500"},
            "incomplete",
            "CompletedWithDeadChildren",
            "1 of 30 lists failed for good, `replay` reads them again (ServerError: 500)",
        ),
        (
            {"completed": 0, "lists": 0, "forbidden": 30, "why": "Forbidden: no"},
            "unreadable",
            "CompletedWithUnreadableLists",
            "Planning Center does not show all 30 lists to this credential (Forbidden: no)",
        ),
        (
            {"completed": 27, "lists": 27, "forbidden": 3},
            "incomplete",
            "CompletedWithUnreadableLists",
            "Planning Center does not show 3 of 30 lists to this credential",
        ),
        ({"completed": 10, "lists": 10, "cancelled": 20}, "cancelled", None, "20 of 30 lists were cancelled"),
        ({"state": "cancelled", "completed": 16, "pending": 14}, "cancelled", None, "cancelled with 16 of 30 lists"),
        ({"state": "failed", "error": "BadRequest: 400", "children": 0}, "failed", None, "BadRequest: 400"),
        ({"state": "closed"}, "cancelled", None, "given up"),
        ({"state": "awaiting", "completed": 20, "running": 10}, "spreading", "Spreading", "20 of 30 lists are read"),
        ({"state": "running"}, "spreading", "Spreading", "another flow run is reading it"),
        ({"deletions": MISSING}, "incomplete", "CompletedWithMissing", "12 records are missing and not marked"),
        ({"deletions": EMPTY}, "incomplete", "CompletedWithMissing", "the list is empty, and may only be hidden"),
        ({"deletions": MISSING, "is_settled": True}, "completed", None, ""),
        ({"deletions": None, "is_unsettled": True}, "spreading", "Spreading", "still to be looked for"),
        (
            {"deletions": {"verdict": "requested", "given_up": True}, "is_unsettled": True},
            "incomplete",
            "CompletedWithMissing",
            "nobody could look",
        ),
        ({"deletions": None, "is_unsettled": True, "is_settled": True}, "completed", None, ""),
        ({"quarantined": 2}, "incomplete", "CompletedWithQuarantine", "2 records are in quarantine"),
        (
            {"dead": 1, "deletions": MISSING, "quarantined": 2},
            "incomplete",
            "CompletedWithDeadChildren",
            "12 records are missing",
        ),
    ],
)
def test_the_end_is_what_the_ledger_shows(known: dict[str, Any], outcome: str, name: str | None, reason: str) -> None:
    end = end_of(run_facts(**known))
    assert (end.outcome, end.name) == (outcome, name)
    assert reason in end.reason
    assert bool(end.reason) is (outcome != "completed")


def test_rows_in_no_list_of_which_nobody_knows_the_parent_are_in_the_summary() -> None:
    known = {"verdict": "none", "missing": 0, "deleted": 0, "unplaced": 7}
    summary, end = summarize_fan_out(run_facts(deletions=known))
    assert (end.outcome, summary.unplaced) == ("completed", 7)
    assert "7 in the mirror and in no list" in summary.told


def test_one_list_of_a_church_ends_by_the_same_rules() -> None:
    plain = {"is_fan_out": False, "children": 0, "completed": 0, "lists": 1, "entity": "people.Person"}
    assert end_of(run_facts(**plain)).outcome == "completed"
    assert end_of(run_facts(**plain, deletions=EMPTY)).name == "CompletedWithMissing"
    assert end_of(run_facts(**plain, quarantined=1)).name == "CompletedWithQuarantine"


def test_what_came_with_a_list_and_is_incomplete_keeps_it_from_being_complete() -> None:
    plain = {"is_fan_out": False, "children": 0, "completed": 0, "lists": 1}
    whole = run_facts(**plain, entity="giving.Refund")
    lacking = run_facts(**plain, entity="giving.Designation", quarantined=1)
    end = end_of(run_facts(**plain, entity="giving.Donation", members=(whole, lacking)))
    assert (end.outcome, end.name) == ("incomplete", "CompletedWithQuarantine")
    assert end.reason.startswith("giving.Designation: 1 record is in quarantine")
    assert end_of(run_facts(**plain, entity="giving.Donation", members=(whole, whole))).outcome == "completed"


@pytest.mark.parametrize(
    ("known", "kind", "name"),
    [
        ({}, "COMPLETED", "AlreadyCompleted"),
        ({"state": "running"}, "COMPLETED", "AlreadyRunning"),
        ({"deletions": MISSING}, "COMPLETED", "CompletedWithMissing"),
        ({"dead": 100}, "COMPLETED", "CompletedWithDeadChildren"),
        ({"state": "cancelled"}, "CANCELLED", "Cancelled"),
        ({"state": "failed"}, "FAILED", "Failed"),
    ],
)
def test_whoever_joins_is_told_what_the_other_run_has_left(known: dict[str, Any], kind: str, name: str) -> None:
    summary, end = summarize_fan_out(run_facts(**known), joined=True)
    state = state_of(type(end)(outcome=end.outcome, name=joined_name(end), reason=end.reason), "told", summary)
    assert (state.type.value, state.name) == (kind, name)


def church(state: str = "completed", **more: Any) -> LedgerRun:
    """A church's run in the ledger."""
    known: dict[str, Any] = {"error": None, "flow_run_id": None, "result": None, **more}
    return LedgerRun(
        run_id=9, org_id="grace", entity="organization", epoch="e", key="k", mode="full", state=state, **known
    )


REFUSED = EntityEnd(outcome="unreadable", reason="403")


@pytest.mark.parametrize(
    ("ended", "known", "outcome", "name"),
    [
        ("completed", {}, "completed", None),
        ("completed", {"state": "cancelled"}, "incomplete", "CompletedIncomplete"),
        ("completed", {"forbidden": 30, "lists": 0}, "incomplete", "CompletedIncomplete"),
        ("completed", {"state": "awaiting", "running": 1}, "spreading", "Spreading"),
        ("completed", {"state": "failed", "error": "no"}, "failed", "Failed"),
        ("unreadable", {"state": "failed", "error": "Forbidden: 403"}, "incomplete", "CompletedIncomplete"),
        ("failed", {"state": "running"}, "failed", "Failed"),
        ("incomplete", {}, "completed", None),
    ],
)
def test_a_church_is_as_good_as_the_worst_of_its_resources_by_the_ledger(
    ended: Any, known: dict[str, Any], outcome: str, name: str | None
) -> None:
    ends = {"groups.Membership": EntityEnd(outcome=ended, reason="")}
    summary = summarize_organization(church(), ends, [run_facts(**known)])
    assert summary.outcome == outcome
    assert organization_state(summary, "").name == (name or "Completed")


def test_a_product_that_refuses_in_the_middle_is_named_with_how_far_it_was_read() -> None:
    facts = run_facts(state="failed", error="Forbidden: 403", is_fan_out=False, entity="groups.Group", pages=3)
    summary = summarize_organization(church(), {"groups.Group": REFUSED}, [facts])
    (one,) = summary.entities
    assert (one.outcome, one.reason) == ("unreadable", "refused after 3 pages: 403")
    assert summary.told.endswith(". unreadable: groups.Group")


def test_what_is_repaired_after_a_church_ended_is_true_for_whoever_asks_later() -> None:
    dead = {"groups.Membership": EntityEnd(outcome="incomplete"), "giving.Fund": REFUSED}
    run = church(result=result_of(dead, seconds=2.0))
    (fund, memberships) = organization_of(run, [run_facts()]).entities
    assert (fund.outcome, fund.reason, memberships.outcome) == ("unreadable", "403", "completed")
    (_, before) = organization_of(run, [run_facts(dead=1)]).entities
    assert before.outcome == "incomplete"


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("completed", "already_completed"),
        ("running", "already_running"),
        ("cancelled", "cancelled"),
        ("failed", "failed"),
    ],
)
def test_a_church_that_is_joined_is_told_as_it_stands(state: str, outcome: str) -> None:
    run = church(state, error="no", result=result_of({"groups.Membership": EntityEnd(outcome="completed")}, seconds=1))
    assert organization_of(run, [run_facts()], joined=True).outcome == outcome


def test_what_a_night_left_is_said_with_its_age_to_whoever_asks_later() -> None:
    left = WaitingLists(lists=1020, never_read=300, longest_days=9)
    run = church(result=result_of({"groups.Membership": EntityEnd(outcome="completed")}, seconds=2.0, waiting=left))
    summary = organization_of(run, [run_facts(lists=412)])
    assert summary.waiting == left
    assert "; 412 lists read, 1020 wait (300 of them were never read), the oldest for 9 days" in summary.told


def test_a_night_that_left_nothing_says_so_and_a_delta_says_nothing_of_lists() -> None:
    ends = {"groups.Membership": EntityEnd(outcome="completed")}
    assert "none waits" in summarize_organization(church(), ends, [run_facts()], waiting=WaitingLists()).told
    assert "wait" not in summarize_organization(church(), ends, [run_facts()]).told
