"""Facts about a run as the ledger has them, to make verdicts from."""

from typing import Any

from pco_store.ledger.run_facts import RunFacts


def run_facts(**known: Any) -> RunFacts:
    """A fan-out of 30 lists that is complete, but for what is `known` otherwise."""
    complete: dict[str, Any] = {
        "run_id": 1,
        "org_id": "grace",
        "entity": "groups.Membership",
        "epoch": "e",
        "key": "sync-children:grace:groups.Membership:*:e",
        "state": "completed",
        "mode": "full",
        "error": None,
        "flow_run_id": None,
        "is_fan_out": True,
        "deletions": {"verdict": "none", "missing": 0, "deleted": 0},
        "is_settled": False,
        "is_unsettled": False,
        "result": None,
        "children": 30,
        "pending": 0,
        "submitted": 0,
        "running": 0,
        "completed": 30,
        "absent": 0,
        "forbidden": 0,
        "cancelled": 0,
        "dead": 0,
        "why": None,
        "lists": 30,
        "pages": 30,
        "rows": 300,
        "new": 300,
        "changed": 0,
        "unchanged": 0,
        "requests": 31,
        "quarantined": 0,
    }
    return RunFacts(**{**complete, **known})
