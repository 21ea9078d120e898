"""What stays in a warm worker between its runs: open connections, and the recovery of what died elsewhere."""

import asyncio
import random
from typing import Final

import httpx
from prefect.exceptions import PrefectHTTPStatusError

from pco_store.errors import StoreError
from tasks.lifespan import opened_resources
from tasks.logs import sync_logger
from tasks.recovery.sweep import recover
from tasks.settings import read_settings

SWEEP_SECONDS: Final = 5.0


async def stay() -> None:
    """Until cancelled, keep the resources of this process's environment open and look for abandoned work.

    Two queries a sweep when there is none, and no flow run: as quick as a lease, without a trace in the UI. Several
    workers may do so at once. Raises `SettingsError`.
    """
    async with opened_resources(read_settings()) as resources:
        while True:
            await asyncio.sleep(SWEEP_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load only
            try:
                await recover(resources)
            except (StoreError, httpx.HTTPError, PrefectHTTPStatusError, RuntimeError) as error:
                # RuntimeError: so Prefect's client says that its server is away.
                sync_logger().warning("the recovery is put off: %s: %s", type(error).__name__, error)
