"""How work ended: one verdict, of which state, summary, artifact, terminal and exit code are made.

It is made from what the ledger shows, by `end_of` and nowhere else, so that whoever asks gets the same answer: the flow
run that did the work, one that joins it, the church's run, a terminal, the recovery. docs/verdicts.md lists them.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeVar

from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from pco_store.ledger.run_facts import RunFacts
from tasks.deletions.from_a_list import Deletions, told_before
from tasks.reports.counted import there_are

Outcome = Literal["completed", "incomplete", "unreadable", "cancelled", "failed", "spreading"]
"""incomplete: done, and something is left for a person. unreadable: PCO shows nothing of it to this credential.
cancelled: stopped by a person before all was read. spreading: not over, its children or another run go on."""

Summarized = Outcome | Literal["already_running", "already_completed"]
"""The outcome of a run that did the work, or of one that was asked for what another one does or has done."""

SPREADING: Final = "Spreading"
DEAD: Final = "CompletedWithDeadChildren"
UNREADABLE: Final = "CompletedWithUnreadableLists"
MISSING: Final = "CompletedWithMissing"
QUARANTINE: Final = "CompletedWithQuarantine"
LACKING: Final = "CompletedWithoutIncluded"

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """`name` is the state's in Prefect, where it is not the type's own; `reason` says what is left, and why."""

    outcome: Outcome
    name: str | None = None
    reason: str = ""


def end_of(facts: RunFacts) -> End:
    """The end of a sync or a fan-out, as the ledger shows it; what weighs most gives outcome and name."""
    if facts.dropped is not None and not facts.is_fan_out:
        return End(outcome="incomplete", name=LACKING, reason=f"it did not come in full: {facts.dropped}")
    if facts.state == "failed":
        return End(outcome="failed", reason=facts.error or "it failed")
    if facts.state == "cancelled":
        return End(outcome="cancelled", reason=_stopped(facts))
    if facts.state == "closed":
        return End(outcome="cancelled", reason="given up: somebody has begun this epoch again from the start")
    if not facts.is_over:
        return End(outcome="spreading", name=SPREADING, reason=_under_way(facts))
    left = _left(facts)
    if not left:
        return End(outcome="completed")
    return replace(left[0], reason="; ".join(one.reason for one in left))


def summarized_as(end: End, *, joined: bool) -> Summarized:
    """The outcome of a run that `joined` another one says so, if nothing else is to say."""
    if joined and end.outcome == "completed":
        return "already_completed"
    if joined and end.outcome == "spreading":
        return "already_running"
    return end.outcome


def state_of(end: End, message: str, data: R) -> State[R]:
    """The state of the flow run that ends so."""
    if end.outcome == "failed":
        return Failed(message=message, data=data)
    if end.outcome == "cancelled":
        return Cancelled(message=message, data=data)
    return Completed(name=end.name, message=message, data=data)


def joined_name(end: End) -> str | None:
    """The name of a flow run that was not started again: what is left of the other one, or that there was one."""
    return {"completed": "AlreadyCompleted", "spreading": "AlreadyRunning"}.get(end.outcome, end.name)


def deletions_of(facts: RunFacts) -> Deletions:
    """What was found out about missing records, as far as it was."""
    known = facts.deletions or {}
    if known.get("verdict") in (None, "requested"):
        return Deletions()
    return told_before(known)


def _left(facts: RunFacts) -> list[End]:
    left = []
    if facts.dead:
        left.append(
            End(
                outcome="incomplete",
                name=DEAD,
                reason=f"{_lists(facts, facts.dead)} failed for good, `replay` reads them again{_why(facts)}",
            )
        )
    if facts.cancelled:
        outcome: Outcome = "incomplete" if facts.dead else "cancelled"
        left.append(
            End(outcome=outcome, reason=f"{_lists(facts, facts.cancelled)} were cancelled, `replay` reads them")
        )
    if facts.forbidden:
        refused = f"Planning Center does not show {_lists(facts, facts.forbidden)} to this credential"
        why = "" if facts.dead else _why(facts)
        left.append(End(outcome="incomplete" if facts.lists else "unreadable", name=UNREADABLE, reason=refused + why))
    if (unsettled := deletions_of(facts).unsettled) and not facts.is_settled:
        left.append(End(outcome="incomplete", name=MISSING, reason=unsettled))
    if facts.dropped is not None:
        left.append(End(outcome="incomplete", name=LACKING, reason=facts.dropped))
    if facts.quarantined:
        left.append(End(outcome="incomplete", name=QUARANTINE, reason=_in_quarantine(facts.quarantined)))
    if facts.is_unsettled and not facts.is_settled:
        left.append(_not_looked_for(facts))
    ends = ((member.entity, end_of(member)) for member in facts.members)
    left += [replace(end, reason=f"{name}: {end.reason}") for name, end in ends if end.outcome == "incomplete"]
    return left


def _not_looked_for(facts: RunFacts) -> End:
    if (facts.deletions or {}).get("given_up"):
        why = "for a day, nobody could look for what is missing from the lists; started again with its epoch it looks"
        return End(outcome="incomplete", name=MISSING, reason=why)
    return End(outcome="spreading", name=SPREADING, reason="what is missing from the lists is still to be looked for")


def _in_quarantine(count: int) -> str:
    return f"{there_are(count, 'record')} in quarantine, in the table sync.quarantine"


def _lists(facts: RunFacts, count: int) -> str:
    return f"all {count} lists" if count == facts.children else f"{count} of {facts.children} lists"


def _why(facts: RunFacts) -> str:
    return f" ({facts.why})" if facts.why else ""


def _stopped(facts: RunFacts) -> str:
    if facts.is_fan_out:
        return f"cancelled with {facts.done} of {facts.children} lists read; started again it continues"
    return "cancelled; started again it continues"


def _under_way(facts: RunFacts) -> str:
    if facts.state == "running" or not facts.is_fan_out:
        return "another flow run is reading it"
    return f"{facts.done} of {facts.children} lists are read, the others follow"
