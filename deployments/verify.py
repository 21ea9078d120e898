"""`make verify`: prove mirrors against Planning Center as deployment runs; the exit status says what came of it."""

import argparse
import asyncio
import os
from typing import Final

from prefect.client.orchestration import get_client
from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from deployments.arguments import check_arguments
from deployments.names import VERIFY_ENTITY
from pco_store.database import Database
from pco_store.proofs import mirrored_entities
from tasks.starting import start_deployment

LOOK_SECONDS: Final = 0.5
AT_A_TIME: Final = 4
DIFFERENT, NOT_TOLD = 1, 3
"""Exit codes: something differs; of something nobody can tell. 0: all that was compared is exact."""


async def verify(options: argparse.Namespace, console: Console) -> int:
    """Start, wait, show; the exit code. Raises `WrongArgumentError`, `NotDeployedError`."""
    check_arguments(options.org_id)
    for entity in options.entities:
        check_arguments(options.org_id, entity)
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    try:
        async with database.transaction() as connection:
            entities = options.entities or await mirrored_entities(connection, options.org_id)
            before = await connection.scalar(text("SELECT coalesce(max(proof_id), 0) FROM sync.proofs"))
        room = asyncio.Semaphore(AT_A_TIME)

        async def one(entity: str) -> tuple[str, str]:
            async with room:
                return await _verified(options, entity)

        with console.status(f"comparing {len(entities)} resources"):
            ended = dict(zip(entities, await asyncio.gather(*map(one, entities)), strict=True))
        async with database.transaction() as connection:
            result = await connection.execute(
                text("SELECT * FROM sync.proofs WHERE org_id = :org_id AND proof_id > :before"),
                {"org_id": options.org_id, "before": before},
            )
            proofs = {row.entity: row for row in result}
    finally:
        await database.aclose()
    table = Table(title=f"{options.org_id}, by {options.method}", title_justify="left")
    table.add_column("resource", overflow="fold", min_width=24)
    table.add_column("verdict")
    table.add_column("what", overflow="fold")
    table.add_column("requests", justify="right")
    for entity, (name, message) in ended.items():
        proof = proofs.get(entity)
        table.add_row(entity, name, message, str(proof.requests) if proof else "")
    console.print(table)
    names = {name for name, _ in ended.values()}
    if "Different" in names:
        return DIFFERENT
    return 0 if names <= {"Exact"} else NOT_TOLD


async def _verified(options: argparse.Namespace, entity: str) -> tuple[str, str]:
    parameters = {"org_id": options.org_id, "entity": entity, "method": options.method}
    if options.pages is not None:
        parameters["sample_pages"] = options.pages
    run = await start_deployment(VERIFY_ENTITY, parameters)
    async with get_client() as client:
        while True:
            state = (await client.read_flow_run(run.id)).state
            if state is not None and state.is_final():
                return state.name or "", state.message or ""
            await asyncio.sleep(LOOK_SECONDS)
