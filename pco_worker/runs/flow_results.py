"""Decides once per flow where its results go and whether they are kept.

Prefect's engine decides it for every run, with two requests to the API, one of them by a new client that blocks the
event loop. The answer is a setting of the process or of the server, and does not change from run to run.
"""

from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.flows import Flow
from prefect.results import aget_default_result_storage, should_persist_result
from prefect.settings import get_current_settings


async def settle_results(client: PrefectClient, flow: Flow[..., Any]) -> None:
    """Give the flow what it left open. Raises the errors of the API and of the storage block."""
    if flow.persist_result is None:
        flow.persist_result = should_persist_result() or await _is_storage_set(client)
    if flow.result_storage is None:
        flow.result_storage = await aget_default_result_storage()


async def _is_storage_set(client: PrefectClient) -> bool:
    """Prefect keeps results by default once somebody has said where."""
    if get_current_settings().results.default_storage_block is not None:
        return True
    return (await client.read_server_default_result_storage()).default_result_storage_block_id is not None
