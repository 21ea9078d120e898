"""What a person sees of a sync: names, tags, artifacts, and progress for programs."""

import asyncio
import json
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import Artifact, TaskRun
from redis import Redis

from tests.church import OF_ONE_PERSON, Church, read_flow_run
from tests.stack import wait_until


def test_a_run_says_what_it_read_how_far_it_is_and_what_came_of_it(
    church: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PCO_SYNC_PAGE_SIZE", "50")
    church.simulator.faults([{"kind": "500", "at_request": 2}])
    church.sync()
    (run,) = church.runs()
    shown = read_flow_run(run.flow_run_id)
    assert shown.name == "grace: people.Person"
    assert {"org:grace", "entity:people.Person"} <= set(shown.tags)
    names = [f"people.Person org=grace offset={offset}" for offset in (0, 100, 50)]
    wait_until(
        lambda: (
            sorted(one.name for one in _task_runs(run.flow_run_id) if one.state_name == "Completed") == sorted(names)
        ),
        "Prefect knows every page by its name",
    )
    artifacts = {one.type: one for one in _artifacts(run.flow_run_id)}
    assert artifacts["progress"].key == "progress-grace-people-person"
    assert float(str(artifacts["progress"].data)) == 100.0
    assert artifacts["progress"].description == "people.Person of grace: page 3 of 3"
    table = {row["what"]: row["value"] for row in json.loads(str(artifacts["table"].data))}
    compared = [one for one in church.simulator.access_log() if OF_ONE_PERSON.search(one["path"])]
    told = ("pages", "new", "changed", "unchanged", "quarantined", "requests", "retries")
    assert {name: table[name] for name in told} == {
        "pages": "3",
        "new": "120",
        "changed": "0",
        "unchanged": "0",
        "quarantined": "0",
        "requests": str(3 + len(compared)),
        "retries": "1",
    }
    assert float(table["waited seconds"]) >= 0


def test_programs_find_the_progress_in_redis(church: Church) -> None:
    church.sync()
    with Redis.from_url(church.redis_url, decode_responses=True) as redis:
        told = redis.hgetall("sync-progress:grace:people.Person")
    assert {name: told[name] for name in ("state", "epoch", "pages", "total_pages", "rows", "retries")} == {
        "state": "completed",
        "epoch": "turn-1",
        "pages": "2",
        "total_pages": "2",
        "rows": "120",
        "retries": "0",
    }


def _task_runs(flow_run_id: str) -> list[TaskRun]:
    async def read() -> Any:
        async with get_client() as client:
            return await client.read_task_runs(flow_run_filter=_this(flow_run_id))

    found: list[TaskRun] = asyncio.run(read())
    return found


def _artifacts(flow_run_id: str) -> list[Artifact]:
    async def read() -> Any:
        async with get_client() as client:
            return await client.read_artifacts(
                artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
            )

    found: list[Artifact] = asyncio.run(read())
    return found


def _this(flow_run_id: str) -> FlowRunFilter:
    return FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
