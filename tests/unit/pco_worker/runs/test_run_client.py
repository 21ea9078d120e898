"""What a run's engine asks of Prefect, and what is known without asking."""

from uuid import uuid4

import httpx
import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun

from pco_worker.runs.run_client import RunClient


@pytest.mark.parametrize(("name", "sent"), [("grace: everything", []), ("another", ["PATCH"])])
async def test_a_run_that_has_its_name_is_not_given_it_again(name: str, sent: list[str]) -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"token": "t", "client": "c", "expiration": "2030-01-01T00:00:00Z"})

    settings = {"transport": httpx.MockTransport(answer)}
    async with PrefectClient("http://prefect.invalid/api", httpx_settings=settings) as shared:
        run = FlowRun(id=uuid4(), flow_id=uuid4(), name="grace: everything")
        await RunClient(shared, run).set_flow_run_name(run.id, name)
    assert [one.method for one in requests if "flow_runs" in one.url.path] == sent
