"""Children whose flow runs a person cancels before a worker has begun them are not submitted again."""

import asyncio
from collections import Counter
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.states import Cancelled, Cancelling, Running

from flows.sync_child import sync_child
from flows.sync_children import sync_children
from tests.church import Church
from tests.orchestration.recovery.recovering import let, sweep


async def deploy_children() -> None:
    """Without a work pool: their flow runs wait until the test says what became of them."""
    async with get_client() as client:
        await client.create_deployment(flow_id=await client.create_flow(sync_child), name="nobody-runs-it")


def test_what_a_person_cancels_before_it_begins_stays_cancelled(
    church: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCO_SYNC_CHILD_DEPLOYMENT", f"{sync_child.name}/nobody-runs-it")
    asyncio.run(deploy_children())
    sync_children("grace", "groups.Membership", epoch="e", groups_per_run=1)
    submitted = church.sql("SELECT flow_run_id, run_id FROM sync.runs WHERE state = 'submitted' ORDER BY run_id")
    assert len(submitted) == 12
    over, ending, *_ = (UUID(one.flow_run_id) for one in submitted)
    let(over, Cancelled())
    let(ending, Running())
    let(ending, Cancelling())
    monkeypatch.setenv("PCO_SYNC_START_SECONDS", "0.01")
    church.sql("UPDATE sync.runs SET submitted_at = now() - interval '1 hour' WHERE state = 'submitted'")

    sweep()

    states = church.sql("SELECT state FROM sync.runs WHERE parent_run_id IS NOT NULL")
    assert Counter(one.state for one in states) == {"cancelled": 2, "submitted": 10}
    again = church.sql("SELECT count(DISTINCT flow_run_id) FROM sync.runs WHERE parent_run_id IS NOT NULL")
    assert again == [(12,)]
