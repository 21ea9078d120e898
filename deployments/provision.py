"""Creates with Prefect what runs need: work pool, deployments, automations, block types, credentials."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from pydantic import SecretStr

from deployments.automations import provision_automations
from deployments.names import WORK_POOL, WORK_POOL_TYPE
from pco_worker.worker import WarmWorker
from tasks.credentials import PcoCredentials
from tasks.receipts import ReceiptStorage

PROJECT = Path(__file__).parent.parent


class ProvisionError(Exception):
    """Prefect did not accept what prefect.yaml says; the message is its own."""


async def provision() -> None:
    """Make or update everything; safe to repeat. Raises `ProvisionError` and Prefect's own errors."""
    async with get_client() as client:
        pool = WorkPoolCreate(
            name=WORK_POOL,
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


async def save_credentials(
    org_id: str, *, application_id: str, secret: str, base_url: str, scheduled: bool = False
) -> None:
    """Store a church's Personal Access Token as the block `pco-credentials/{org_id}`; an older one is replaced."""
    block = PcoCredentials(
        application_id=SecretStr(application_id), secret=SecretStr(secret), base_url=base_url, scheduled=scheduled
    )
    await block.save(org_id, overwrite=True)
