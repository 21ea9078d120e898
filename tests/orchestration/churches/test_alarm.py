"""The automation that we ship fires on a real server for a church that stays overdue; its two hours are ten seconds."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client

from deployments.provisioning.automations import read_automations
from flows.recover_syncs import recover_syncs
from tasks.reports.events import STALE
from tests.church import Church
from tests.orchestration.churches.test_events import SUFFIXES, events
from tests.stack import wait_until

LEAST: Any = timedelta(seconds=10)
"""Prefect's least for what does not happen."""


async def create_alarm() -> UUID:
    """The one for overdue churches, in a hurry; its id."""
    (alarm,) = [one for one in read_automations() if "overdue" in one.name]
    trigger = alarm.trigger.model_copy(update={"within": LEAST})
    async with get_client() as client:
        return await client.create_automation(
            alarm.model_copy(update={"name": "overdue for ten seconds", "trigger": trigger})
        )


async def delete(automation: UUID) -> None:
    async with get_client() as client:
        await client.delete_automation(automation)


@pytest.mark.nightly
def test_a_church_that_stays_overdue_sets_off_the_alarm(church: Church) -> None:
    church.sync(SUFFIXES)
    church.sql("UPDATE sync.watermarks SET watermark = watermark - interval '3 days'")
    alarm = asyncio.run(create_alarm())
    fired = "prefect.automation.triggered"
    try:
        recover_syncs()
        wait_until(lambda: bool(events(fired, f"prefect.automation.{alarm}")), "the alarm goes off", seconds=120)
    finally:
        asyncio.run(delete(alarm))
    payload = events(fired, f"prefect.automation.{alarm}")[0]["payload"]
    assert payload["triggering_event"]["event"] == STALE, payload
    assert payload["triggering_event"]["resource"]["prefect.resource.id"] == f"pco-sync.church.{church.org_id}"
