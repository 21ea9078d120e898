"""A church whose recovery starts runs that nobody executes."""

import asyncio

import pytest
from prefect.client.orchestration import get_client
from prefect.utilities.callables import parameter_schema

from flows.sync_entity import sync_entity
from flows.sync_organization import sync_organization
from tests.church import Church
from tests.orchestration.recovery.recovering import DEPLOYMENT


@pytest.fixture
def deployed(church: Church, monkeypatch: pytest.MonkeyPatch) -> Church:
    """A church whose recovery starts runs that nobody executes; for fan-outs there is no deployment."""
    for name in ("entity", "organization"):
        monkeypatch.setenv(f"PCO_SYNC_{name.upper()}_DEPLOYMENT", f"sync-{name}/{DEPLOYMENT}")
    monkeypatch.setenv("PCO_SYNC_CHILDREN_DEPLOYMENT", "sync-children/nowhere")
    monkeypatch.setenv("PCO_SYNC_START_SECONDS", "0.01")
    asyncio.run(_deploy())
    return church


async def _deploy() -> None:
    async with get_client() as client:
        for flow in (sync_entity, sync_organization):
            await client.create_deployment(
                flow_id=await client.create_flow(flow),
                name=DEPLOYMENT,
                parameter_openapi_schema=parameter_schema(flow).model_dump(),
                enforce_parameter_schema=True,
            )
