"""Creates with Prefect what runs need: work pool, deployments, automations, block types, credentials."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from pydantic import SecretStr

from deployments.provisioning.automations import provision_automations
from deployments.provisioning.declared import PROJECT, declared_deployments
from deployments.provisioning.names import WORK_POOL_TYPE
from pco_worker.worker import WarmWorker
from tasks.credentials import PcoCredentials
from tasks.receipts import ReceiptStorage


class ProvisionError(Exception):
    """Prefect did not accept what prefect.yaml says; the message is its own."""


async def provision() -> Mapping[str, Sequence[str]]:
    """Make or update everything; safe to repeat. The deployments of each work pool.

    A work pool that is there already stays as it is. Raises `ProvisionError`, `DeclarationError` and Prefect's errors.
    """
    declared = declared_deployments()
    async with get_client() as client:
        for name in declared:
            pool = WorkPoolCreate(
                name=name,
                type=WORK_POOL_TYPE,
                description="Syncs of Planning Center data",
                base_job_template=WarmWorker.get_default_base_job_template(),
            )
            with suppress(ObjectAlreadyExists):
                await client.create_work_pool(pool)
    await PcoCredentials.register_type_and_schema()
    await ReceiptStorage.register_type_and_schema()
    await provision_automations()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "prefect", "--no-prompt", "deploy", "--all"),
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    except asyncio.CancelledError:  # else its pipes outlive the event loop, which says so with a traceback
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        raise
    if process.returncode != 0:
        raise ProvisionError(f"prefect deploy failed: {said.decode(errors='replace').strip()[-2000:]}")
    return declared


async def other_type(pool: str) -> str | None:
    """The type of a work pool that our warm workers cannot serve; None if they can, or nobody knows yet."""
    async with get_client() as client:
        try:
            found = await client.read_work_pool(pool)
        except (ObjectNotFound, httpx.TransportError):  # a worker waits for a server that is still to come
            return None
    return None if found.type == WORK_POOL_TYPE else found.type


async def save_credentials(
    org_id: str, *, application_id: str, secret: str, base_url: str, scheduled: bool = False
) -> None:
    """Store a church's Personal Access Token as the block `pco-credentials/{org_id}`; an older one is replaced."""
    block = PcoCredentials(
        application_id=SecretStr(application_id), secret=SecretStr(secret), base_url=base_url, scheduled=scheduled
    )
    await block.save(org_id, overwrite=True)
