"""`make verify`: compare mirrors with Planning Center as deployment runs; the exit code says what came of it."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments.arguments import WrongArgumentError, check_arguments, check_comparable
from deployments.exit_codes import DONE, FAILED, INCOMPLETE, USAGE
from deployments.names import VERIFY_ENTITY
from pco_catalog.catalog import load_catalog
from pco_store.database import Database
from pco_store.ledger.comparable import Comparable, find_comparable, known_churches
from pco_store.ledger.proofs import proof_of_flow_run
from tasks.deployment_runs import start_deployment
from tasks.verification.proof import Proof

LOOK_SECONDS: Final = 0.5
AT_A_TIME: Final = 4
MOST_CHURCHES: Final = 10

EXIT_CODES: Final[Mapping[str, int]] = {
    "Exact": DONE,
    "ExactAsOf": DONE,
    "SampleAgrees": DONE,
    "CountsAgree": DONE,
    "Different": FAILED,
    "Incomplete": INCOMPLETE,
    "Unknown": INCOMPLETE,
}
"""Of each verdict. A comparison that ended otherwise has failed."""
_WORST_FIRST: Final = (FAILED, INCOMPLETE, DONE)

NOT_COUNTED: Final = "listed below owners only, where a count costs as much as the content: use sample or full"
NEVER_COMPLETE: Final = "never read completely"
NOT_IN_CATALOGUE: Final = "not in the catalogue any more"


class NothingToCompareError(Exception):
    """There is no mirror that could be compared; the message says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """All proofs of one command, and what was not compared, by the reason."""

    org_id: str
    method: str
    proofs: tuple[Proof, ...]
    not_compared: Mapping[str, tuple[str, ...]]

    @property
    def exit_code(self) -> int:
        """The worst of all; a list that was never read completely leaves the answer open."""
        codes = {EXIT_CODES.get(proof.verdict, FAILED) for proof in self.proofs}
        if self.not_compared.get(NEVER_COMPLETE) or not self.proofs:
            codes.add(INCOMPLETE)
        return next(code for code in _WORST_FIRST if code in codes)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "org_id": self.org_id,
            "method": self.method,
            "exit_code": self.exit_code,
            "proofs": [proof.as_json() for proof in self.proofs],
            "not_compared": [
                {"entity": entity, "why": why} for why, entities in self.not_compared.items() for entity in entities
            ],
        }


async def verify(options: argparse.Namespace, console: Console) -> int:
    """Start, wait, show; the exit code. Raises `NotDeployedError`."""
    told = Console(stderr=True) if options.json else console
    try:
        check(options)
    except WrongArgumentError as error:
        told.print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return USAGE
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    try:
        chosen, not_compared = await choose(database, options.org_id, options.entities, options.method)
        room = asyncio.Semaphore(AT_A_TIME)

        async def one(entity: str) -> Proof:
            async with room:
                return await _verified(options, entity, database)

        with told.status(f"comparing {len(chosen)} resources"):
            proofs = await asyncio.gather(*map(one, chosen))
    except NothingToCompareError as error:
        told.print(f"[red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return FAILED
    finally:
        await database.aclose()
    result = Verification(org_id=options.org_id, method=options.method, proofs=tuple(proofs), not_compared=not_compared)
    if options.json:
        sys.stdout.write(f"{json.dumps(result.as_json(), indent=2)}\n")
    else:
        show(result, console)
    return result.exit_code


def check(options: argparse.Namespace) -> None:
    """Raises `WrongArgumentError` for what no church could be compared by."""
    check_arguments(options.org_id)
    if options.pages is not None and not 2 <= options.pages <= 500:
        raise WrongArgumentError("--pages must be 2 to 500")
    for entity in options.entities:
        check_comparable(entity, options.method)


async def choose(
    database: Database, org_id: str, entities: Iterable[str], method: str
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """What is compared, and what is not, by the reason. Raises `NothingToCompareError`."""
    async with database.transaction() as connection:
        mirrored = await find_comparable(connection, org_id)
        churches = await known_churches(connection, most=MOST_CHURCHES)
    if mirrored.is_empty:
        known = f"known churches: {', '.join(churches)}" if churches else "no church was synced yet"
        raise NothingToCompareError(f"nothing of {org_id!r} was ever synced here; {known}")
    named = tuple(dict.fromkeys(entities))
    unread = [entity for entity in named if entity not in mirrored.complete]
    if unread:
        raise NothingToCompareError(f"never read completely: {', '.join(unread)}; sync it first")
    if named:
        return named, {}
    return _all_of(mirrored, org_id, method)


def _all_of(mirrored: Comparable, org_id: str, method: str) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    known = {entity.name: entity for entity in load_catalog().entities()}
    is_counted = {name: method != "count" or entity.list_path is not None for name, entity in known.items()}
    if not known.keys() & set(mirrored.complete):
        begun = (*mirrored.unread, *mirrored.complete)
        raise NothingToCompareError(
            f"nothing of {org_id!r} was read completely, so there is nothing to compare; begun: {', '.join(begun)}"
        )
    reasons = {
        NEVER_COMPLETE: mirrored.unread,
        NOT_COUNTED: tuple(entity for entity in mirrored.complete if not is_counted.get(entity, True)),
        NOT_IN_CATALOGUE: tuple(entity for entity in mirrored.complete if entity not in known),
    }
    chosen = tuple(entity for entity in mirrored.complete if is_counted.get(entity, False))
    return chosen, {why: names for why, names in reasons.items() if names}


def show(result: Verification, console: Console) -> None:
    """A table that fits a terminal of 80 columns, and what it leaves out."""
    table = Table(title=f"{result.org_id}, by {result.method}", title_justify="left")
    table.add_column("resource", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("what was seen", overflow="fold")
    for proof in result.proofs:
        cost = f" ({proof.requests} requests, {proof.seconds:.1f} s)" if proof.proof_id is not None else ""
        table.add_row(proof.entity, proof.verdict, escape(proof.message) + cost)
    console.print(table)
    for why, entities in result.not_compared.items():
        console.print(f"Not compared, {why}: {', '.join(entities)}", highlight=False, markup=False)


async def _verified(options: argparse.Namespace, entity: str, database: Database) -> Proof:
    parameters = {"org_id": options.org_id, "entity": entity, "method": options.method}
    if options.pages is not None:
        parameters["sample_pages"] = options.pages
    run = await start_deployment(VERIFY_ENTITY, parameters)
    state = await _end_of(run.id)
    async with database.transaction() as connection:
        kept = await proof_of_flow_run(connection, options.org_id, str(run.id))
    if kept is None or not state.is_completed():
        return Proof(
            org_id=options.org_id,
            entity=entity,
            method=options.method,
            verdict="Unknown" if state.is_completed() else state.name or "Failed",
            message=state.message or "the flow run ended without a proof",
            requests=0,
            seconds=0.0,
        )
    return Proof(
        proof_id=kept.proof_id,
        org_id=kept.org_id,
        entity=kept.entity,
        method=kept.method,
        verdict=kept.verdict,
        message=kept.facts["message"],
        requests=kept.requests,
        seconds=kept.seconds,
        facts=kept.facts,
    )


async def _end_of(flow_run_id: UUID) -> State[Any]:
    async with get_client() as client:
        while True:
            state = (await client.read_flow_run(flow_run_id)).state
            if state is not None and state.is_final():
                return state
            await asyncio.sleep(LOOK_SECONDS)
