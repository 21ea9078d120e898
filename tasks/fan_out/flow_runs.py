"""Asks Prefect for the flow runs of submissions: many with one request, each under its own idempotency key."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient

from pco_store.ledger.fan_out.submissions import Submission
from tasks.logs import sync_logger
from tasks.run_names import run_name

PER_REQUEST: Final = 25
"""Prefect takes 100 in one transaction; fewer let others have their turn in between."""
BULK: Final[Any] = "/deployments/{id}/create_flow_run/bulk"
"""A path that the client's own list of paths does not know yet."""
WITHOUT_BULK: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)
"""How a server answers that has no way to make many at once."""


def fan_out_tag(root_id: int) -> str:
    """The tag that a fan-out's flow run and those of its children share: one click in the UI shows them all."""
    return f"fan-out:{root_id}"


async def make_flow_runs(
    client: PrefectClient, deployment_id: UUID, fan_out: str, submissions: Sequence[Submission]
) -> list[tuple[Submission, str]]:
    """The flow runs of up to `PER_REQUEST` submissions, by id; without those that Prefect did not answer for.

    `fan_out` is the entity that the fan-out is for. A key that Prefect knows gets the flow run that is there.
    """
    try:
        answer = await client.request(
            "POST",
            BULK,
            path_params={"id": str(deployment_id)},
            json=[_wanted(one, fan_out) for one in submissions],
        )
        results: list[dict[str, Any]] = answer.json()["results"]
    except httpx.HTTPStatusError as error:
        if error.response.status_code in WITHOUT_BULK:
            return await _one_by_one(client, deployment_id, fan_out, submissions)
        return _not_answered(submissions, error)
    except httpx.HTTPError as error:
        return _not_answered(submissions, error)
    failed = [result["error"] for result in results if not result["flow_run_id"]]
    if failed:
        sync_logger().warning("Prefect refused %d of %d flow runs: %s", len(failed), len(results), failed[0])
    return [
        (submission, result["flow_run_id"])
        for submission, result in zip(submissions, results, strict=True)
        if result["flow_run_id"]
    ]


async def _one_by_one(
    client: PrefectClient, deployment_id: UUID, fan_out: str, submissions: Sequence[Submission]
) -> list[tuple[Submission, str]]:
    made: list[tuple[Submission, str]] = []
    for submission in submissions:
        try:
            answer = await client.request(
                "POST",
                "/deployments/{id}/create_flow_run",
                path_params={"id": str(deployment_id)},
                json=_wanted(submission, fan_out),
            )
        except httpx.HTTPError as error:
            _not_answered([submission], error)
        else:
            made.append((submission, answer.json()["id"]))
    return made


def _not_answered(submissions: Sequence[Submission], error: httpx.HTTPError) -> list[tuple[Submission, str]]:
    sync_logger().warning("%d flow runs are asked for later: %s", len(submissions), type(error).__name__)
    return []


def _wanted(submission: Submission, fan_out: str) -> dict[str, Any]:
    """What Prefect is asked for. Its schema need not be checked by the server, too: the flow checks its parameters."""
    parameters = {
        "org_id": submission.org_id,
        "entity": submission.entity,
        "epoch": submission.epoch,
        "parents": list(submission.scopes),
        "fan_out": fan_out,
    }
    return {
        "name": run_name("sync-child", parameters),
        "parameters": parameters,
        "idempotency_key": submission.key,
        "tags": [f"org:{submission.org_id}", f"entity:{submission.entity}", fan_out_tag(submission.root_id)],
        "enforce_parameter_schema": False,
    }
