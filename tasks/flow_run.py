"""The flow run that we are in: which one it is, who holds its work, and its tags."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext


def owner() -> str:
    """Who holds a run, for people who look for it: host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def current_flow_run() -> FlowRun | None:
    """The flow run we are in."""
    context = FlowRunContext.get()
    return context.flow_run if context is not None else None


def current_flow_run_id() -> str | None:
    """Its id."""
    run = current_flow_run()
    return None if run is None else str(run.id)


def church_tags(org_id: str, entity: str) -> set[str]:
    """The tags of a run that reads a church. A run that is started with them need not be tagged."""
    return {f"org:{org_id}", f"entity:{entity}"}


@asynccontextmanager
async def tagged(org_id: str, entity: str, *more: str) -> AsyncIterator[None]:
    """The flow run is tagged by church and entity, so that the UI can be filtered by them, while the block runs.

    The sync does not wait for the server, and fails for no tag.
    """
    run, wanted = current_flow_run(), church_tags(org_id, entity) | set(more)
    if run is None or wanted <= set(run.tags):
        yield
        return
    task = asyncio.create_task(_tag(run.id, sorted(wanted | set(run.tags))), name="tags")
    try:
        yield
    finally:
        await asyncio.gather(task, return_exceptions=True)


async def _tag(flow_run_id: UUID, tags: list[str]) -> None:
    async with get_client() as client:
        await client.update_flow_run(flow_run_id, tags=tags)
