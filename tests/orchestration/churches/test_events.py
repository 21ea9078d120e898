"""What automations can react to: a sync that ended, and how current a church is. Counts and names, no values."""

import asyncio
from typing import Any

from prefect.client.orchestration import get_client

from flows.recover_syncs import recover_syncs
from tasks.reports.events import CURRENT, STALE, SYNCED
from tests.church import Church
from tests.stack import wait_until

SUFFIXES = "people.NameSuffix"


def events(name: str, resource: str, epoch: str | None = None) -> list[dict[str, Any]]:
    """Those that the server knows of a resource, oldest first; of one epoch, if it is given."""

    async def read() -> list[dict[str, Any]]:
        told = {"event": {"name": [name]}, "resource": {"id": [resource]}, "order": "ASC"}
        async with get_client() as client:
            answer = await client.request("POST", "/events/filter", json={"filter": told})
        found: list[dict[str, Any]] = answer.json()["events"]
        return [one for one in found if epoch is None or one["payload"]["epoch"] == epoch]

    return asyncio.run(read())


def test_a_sync_that_ended_tells_its_counts_once(church: Church) -> None:
    summary = church.sync(SUFFIXES, epoch="told")
    resource = f"pco-sync.church.{church.org_id}.{SUFFIXES}"
    wait_until(lambda: bool(events(SYNCED, resource, "told")), "the event is there", seconds=60)
    church.sync(SUFFIXES, epoch="told")
    church.sync(SUFFIXES, epoch="later")
    wait_until(lambda: bool(events(SYNCED, resource, "later")), "the next event is there", seconds=60)
    (one,) = events(SYNCED, resource, "told")
    assert one["payload"] == {
        "org_id": church.org_id,
        "entity": SUFFIXES,
        "epoch": "told",
        "mode": "full",
        "outcome": "completed",
        "rows": summary.rows,
        "new": summary.new,
        "changed": 0,
        "deleted": 0,
        "missing": 0,
        "quarantined": 0,
        "requests": summary.requests,
    }
    assert summary.new > 0


def test_a_sweep_tells_how_current_a_church_is_and_when_that_changes(church: Church) -> None:
    resource = f"pco-sync.church.{church.org_id}"
    church.sync(SUFFIXES)
    recover_syncs()
    wait_until(lambda: bool(events(CURRENT, resource)), "it is current", seconds=60)
    told = len(events(STALE, resource))
    church.sql("UPDATE sync.watermarks SET watermark = watermark - interval '3 days'")
    church.sql("UPDATE sync.announced SET announced_at = announced_at - interval '6 minutes'")
    recover_syncs()
    wait_until(lambda: len(events(STALE, resource)) > told, "it is stale", seconds=60)
    payload = events(STALE, resource)[-1]["payload"]
    assert (payload["overdue"], payload["tables"]) == (1, [SUFFIXES])


def test_a_sweep_takes_up_what_an_older_worker_has_changed_and_left_noted(church: Church) -> None:
    """A worker of an older release knows nothing of kept facts; the triggers note for it what it changes."""
    church.sync(SUFFIXES)
    recover_syncs()
    for _ in range(3):
        church.sql("UPDATE sync.watermarks SET watermark = watermark - interval '1 day'")
    assert church.sql("SELECT count(*) FROM sync.church_changes") == [(3,)]
    church.sql("UPDATE sync.announced SET announced_at = announced_at - interval '6 minutes'")
    recover_syncs()
    assert church.sql("SELECT count(*) FROM sync.church_changes") == [(0,)]
    assert church.sql("SELECT org_id FROM sync.unkept_churches") == []
    facts = church.sql("SELECT watermark FROM sync.table_facts WHERE entity = :entity", entity=SUFFIXES)
    assert facts == church.sql("SELECT watermark FROM sync.watermarks WHERE entity = :entity", entity=SUFFIXES)
