"""What Prefect's automations can react to: events of syncs that ended, and of how current each church is.

Resources are `pco-sync.church.ORG`, and below it `pco-sync.church.ORG.ENTITY`. Payloads hold counts, times and names of
tables; no value of a record, and no text that came from Planning Center.
"""

from datetime import UTC, datetime
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from prefect.events import emit_event

from pco_store.freshness.announcing import (
    OVERDUE,
    UNSCHEDULED,
    Announcement,
    claim_announcements,
    claim_look,
    unscheduled,
)
from pco_store.freshness.keeping import keep_all_facts
from tasks.credentials import scheduled_organizations
from tasks.lifespan import Resources
from tasks.logs import sync_logger
from tasks.reports.fan_out_summary import FanOutSummary
from tasks.reports.sync_summary import SyncSummary

SYNCED: Final = "pco-sync.entity.synced"
CURRENT: Final = "pco-sync.church.current"
INCOMPLETE: Final = "pco-sync.church.incomplete"
STALE: Final = "pco-sync.church.stale"
LEFT_OUT: Final = "pco-sync.church.unscheduled"
COUNTED: Final = ("lists", "rows", "new", "changed", "deleted", "missing", "quarantined", "requests")
_OF: Final = {"current": CURRENT, "incomplete": INCOMPLETE, OVERDUE: STALE, UNSCHEDULED: LEFT_OUT}


def tell_synced(summary: SyncSummary | FanOutSummary, *, mode: str) -> None:
    """One list or fan-out has ended, with what came with it; told again of the same end it is the same event."""
    counts = {name: getattr(summary, name) for name in COUNTED if hasattr(summary, name)}
    emit_event(
        SYNCED,
        resource={
            "prefect.resource.id": f"pco-sync.church.{summary.org_id}.{summary.entity}",
            "prefect.resource.name": f"{summary.entity} of {summary.org_id}",
        },
        related=[{"prefect.resource.id": f"pco-sync.church.{summary.org_id}", "prefect.resource.role": "church"}],
        payload={
            "org_id": summary.org_id,
            "entity": summary.entity,
            "epoch": summary.epoch,
            "mode": mode,
            "outcome": summary.outcome,
            **counts,
        },
        id=uuid5(NAMESPACE_URL, f"{summary.key} {summary.outcome} {counts}"),
    )
    if isinstance(summary, SyncSummary):
        for one in summary.brought.values():
            tell_synced(one, mode=mode)


async def tell_freshness(resources: Resources) -> int:
    """Tell how current each church is that schedules sync, and which ones they leave out by now, when that has changed.

    The answer is how many events that were. Every five minutes at most, whoever asks. Raises `StoreUnavailable`, and
    Prefect's errors.
    """
    async with resources.database.transaction() as connection:
        if not await claim_look(connection):
            return 0
    await keep_all_facts(resources.database)
    org_ids = list(await scheduled_organizations(resources.settings))
    async with resources.database.transaction() as connection:
        announced = await claim_announcements(connection, org_ids)
    for one in announced:
        _emit(one)
    return len(announced)


def tell_removed(org_id: str) -> None:
    """A church is gone, and with it what was told of it: nobody is to wait for news of it."""
    _emit(unscheduled(org_id, since=datetime.now(UTC)))


def _emit(one: Announcement) -> None:
    church = one.church
    if one.freshness == OVERDUE:
        sync_logger().warning("%s is overdue: %d tables; `pco-sync status` names them", church.org_id, church.overdue)
    emit_event(
        _OF[one.freshness],
        resource={
            "prefect.resource.id": f"pco-sync.church.{church.org_id}",
            "prefect.resource.name": church.org_id,
        },
        payload={
            "org_id": church.org_id,
            "since": one.since.isoformat(),
            "current": church.current,
            "incomplete": church.incomplete,
            "overdue": church.overdue,
            "never_read": church.never_read,
            "changes_seen_until": church.changes_seen_until and church.changes_seen_until.isoformat(),
            "complete_as_of": church.complete_as_of and church.complete_as_of.isoformat(),
            "tables": [kind for reason in church.because if " " not in (kind := reason.partition(":")[0])],
        },
    )
