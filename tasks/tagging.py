"""Tags a flow run by church and entity, so that the UI can be filtered by them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext


@asynccontextmanager
async def tagged(org_id: str, entity: str, *more: str) -> AsyncIterator[None]:
    """The flow run is tagged while the block runs: the sync does not wait for the server, and fails for no tag."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        yield
        return
    tags = sorted({*context.flow_run.tags, f"org:{org_id}", f"entity:{entity}", *more})
    task = asyncio.create_task(_tag(context.flow_run.id, tags), name="tags")
    try:
        yield
    finally:
        await asyncio.gather(task, return_exceptions=True)


async def _tag(flow_run_id: UUID, tags: list[str]) -> None:
    async with get_client() as client:
        await client.update_flow_run(flow_run_id, tags=tags)
