"""What tests ask the ledger for."""

from datetime import datetime

from pco_store.ledger.openings import ConflictPolicy, RunRequest
from pco_store.ledger.runs import RunWindow


def run_request(
    *,
    epoch: str | None,
    on_conflict: ConflictPolicy = "join",
    flow_run_id: str | None = None,
    lease_seconds: float = 30.0,
    until: datetime | None = None,
    page_size: int = 100,
) -> RunRequest:
    """A request for a full sync of one church's people."""
    return RunRequest(
        org_id="grace",
        entity="people.Person",
        epoch=epoch,
        mode="full",
        on_conflict=on_conflict,
        window=RunWindow(attribute="created_at" if until else None, since=None, until=until),
        page_size=page_size,
        owner="a test",
        flow_run_id=flow_run_id,
        lease_seconds=lease_seconds,
    )
