"""What is said of a sync that is not started, because it runs or has completed already."""

from prefect.utilities.urls import url_for

from pco_store.ledger.openings import ConflictPolicy, NotOpened


class SyncRejectedError(Exception):
    """The sync is running or completed already, and the caller asked to be told so by an error."""


def message_of(opened: NotOpened, on_conflict: ConflictPolicy) -> str:
    """What happened, with a link to the run that does or did it. Raises `SyncRejectedError` if the policy is reject."""
    link = url_for("flow-run", opened.flow_run_id) if opened.flow_run_id else None
    told = f"{opened.key} is {opened.why}" + (f": {link}" if link else f" ({opened.owner})")
    if on_conflict == "reject":
        raise SyncRejectedError(f"{told}; on_conflict is 'reject'")
    return f"not started again: {told}"
