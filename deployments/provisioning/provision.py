"""Creates with Prefect what runs need: work pool, deployments, automations, block types, credentials."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from pydantic import SecretStr

from deployments.provisioning.automations import provision_automations
from deployments.provisioning.declared import PROJECT, declared_deployments
from deployments.provisioning.names import FORMER_NAME, QUEUES, TAG, WORK_POOL_TYPE
from pco_client.oauth import OAuthClient
from pco_worker.worker import WarmWorker
from tasks.credentials import CLIENT_BLOCK, PcoCredentials, PcoOAuthClient, is_live
from tasks.receipts import ReceiptStorage


class ProvisionError(Exception):
    """Prefect did not accept what prefect.yaml says; the message is its own."""


@dataclass(frozen=True, kw_only=True)
class Provisioned:
    """The deployments of each work pool, and those of our older versions that were removed, as `flow/deployment`."""

    pools: Mapping[str, Sequence[str]]
    removed: Sequence[str]


async def provision() -> Provisioned:
    """Make or update everything, and remove what older versions of ours called otherwise; safe to repeat.

    A work pool or queue that is there already stays as it is. Raises `ProvisionError`, `DeclarationError` and Prefect's
    errors.
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
            for priority, queue in enumerate(QUEUES, start=1):
                with suppress(ObjectAlreadyExists):
                    await client.create_work_queue(queue, work_pool_name=name, priority=priority)
    await PcoCredentials.register_type_and_schema()
    await PcoOAuthClient.register_type_and_schema()
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
    return Provisioned(pools=declared, removed=await _remove_former(declared))


async def _remove_former(declared: Mapping[str, Sequence[str]]) -> list[str]:
    """The deployments of our flows under their former name go, with their schedules and the runs that never began."""
    names = {name for names in declared.values() for name in names}
    removed = []
    async with get_client() as client:
        for flow in sorted({name.partition("/")[0] for name in names}):
            former = f"{flow}/{FORMER_NAME}"
            with suppress(ObjectNotFound):
                found = await client.read_deployment_by_name(former)
                if former not in names and TAG in found.tags:
                    await client.delete_deployment(found.id)
                    removed.append(former)
    return removed


async def other_type(pool: str) -> str | None:
    """The type of a work pool that our warm workers cannot serve; None if they can, or nobody knows yet."""
    async with get_client() as client:
        try:
            found = await client.read_work_pool(pool)
        except (ObjectNotFound, httpx.TransportError):  # a worker waits for a server that is still to come
            return None
    return None if found.type == WORK_POOL_TYPE else found.type


async def save_credentials(
    org_id: str, *, application_id: str, secret: str, base_url: str, scheduled: bool | None = None
) -> None:
    """Store a church's Personal Access Token as the block `pco-credentials/{org_id}`; an older one is replaced.

    Whether schedules sync it stays as it was, unless it is said; a new one's do, unless it is a simulator's.
    """
    before = await find_block(org_id)
    block = PcoCredentials(
        application_id=SecretStr(application_id),
        secret=SecretStr(secret),
        base_url=base_url,
        scheduled=_scheduled(before, base_url) if scheduled is None else scheduled,
        switched_off=before.switched_off if before is not None else [],
    )
    await block.save(org_id, overwrite=True)


async def save_oauth_church(org_id: str, base_url: str) -> None:
    """Let the block `pco-credentials/{org_id}` say that the church is connected by OAuth; its token there goes.

    Whether schedules sync it stays as it was; a new one's do, unless it is a simulator's.
    """
    before = await find_block(org_id)
    block = PcoCredentials(
        application_id=SecretStr(""),
        secret=SecretStr(""),
        base_url=base_url,
        scheduled=_scheduled(before, base_url),
        switched_off=before.switched_off if before is not None else [],
        oauth=True,
    )
    await block.save(org_id, overwrite=True)


def _scheduled(before: PcoCredentials | None, base_url: str) -> bool:
    return before.scheduled if before is not None and before.base_url == base_url else is_live(base_url)


async def save_oauth_client(client: OAuthClient) -> None:
    """Store the OAuth application as the block that all churches share."""
    block = PcoOAuthClient(client_id=client.client_id, client_secret=SecretStr(client.secret))
    await block.save(CLIENT_BLOCK, overwrite=True)


async def find_block(org_id: str) -> PcoCredentials | None:
    """A church's block; None if it has none."""
    try:
        block: PcoCredentials = await PcoCredentials.aload(org_id)
    except ValueError:
        return None
    return block
