"""`verify`: compare mirrors with Planning Center as deployment runs; the exit code says what came of it."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from deployments.ended import print_document
from deployments.exit_codes import DONE, FAILED, INCOMPLETE
from deployments.operations.churches import UnknownChurchError, meant
from deployments.provisioning.names import VERIFY_ENTITY
from deployments.watching.followed import FollowedFlowRun
from deployments.watching.following import Look, follow
from pco_catalog.catalog import load_catalog
from pco_store.database import Database
from pco_store.ledger.proving.comparable import Comparable, find_comparable, known_churches
from pco_store.ledger.proving.proofs import proof_of_flow_run
from tasks.deployment_runs import start_deployment
from tasks.reports.counted import counted
from tasks.verification.proof import Proof

AT_A_TIME: Final = 4

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


async def verify(
    org_id: str, entities: Sequence[str], method: str, pages: int | None, console: Console, *, as_json: bool
) -> int:
    """Start, wait, show; the exit code. Raises `NotDeployedError`, `UnknownChurchError`, `NothingToCompareError`."""
    async with Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1) as database:
        chosen, not_compared = await choose(database, org_id, entities, method)
        proofs = await _all_proofs(database, org_id, chosen, method, pages, console)
    result = Verification(org_id=org_id, method=method, proofs=proofs, not_compared=not_compared)
    if as_json:
        print_document(result.as_json())
    else:
        show(result, console)
    return result.exit_code


async def choose(
    database: Database, org_id: str, entities: Iterable[str], method: str
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """What is compared, and what is not, by the reason.

    Raises `UnknownChurchError`, `NothingToCompareError`.
    """
    async with database.transaction() as connection:
        mirrored = await find_comparable(connection, org_id)
        if mirrored.is_empty:
            known = meant(org_id, await known_churches(connection))
            raise UnknownChurchError(f"nothing of {org_id!r} was ever synced here; {known}")
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
        cost = f" ({counted(proof.requests, 'request')}, {proof.seconds:.1f} s)" if proof.proof_id is not None else ""
        table.add_row(proof.entity, proof.verdict, escape(proof.message) + cost)
    console.print(table)
    for why, entities in result.not_compared.items():
        console.print(f"Not compared, {why}: {', '.join(entities)}", highlight=False, markup=False)


async def _all_proofs(
    database: Database, org_id: str, entities: Sequence[str], method: str, pages: int | None, console: Console
) -> tuple[Proof, ...]:
    """Of each entity, by a flow run of its own; a few of them at a time."""
    sample = {} if pages is None else {"sample_pages": pages}
    left, running, ended = list(entities), dict[str, FollowedFlowRun](), dict[str, FlowRun]()
    async with get_client() as client:

        async def look(seconds: float) -> Look:
            while left and len(running) < AT_A_TIME:
                entity = left.pop(0)
                parameters = {"org_id": org_id, "entity": entity, "method": method, **sample}
                running[entity] = FollowedFlowRun(client, await start_deployment(VERIFY_ENTITY, parameters))
            for entity, one in [*running.items()]:
                await one.look(seconds)
                if one.is_over:
                    ended[entity] = running.pop(entity).flow_run
            waits = [one.told for one in running.values() if not one.is_running]
            told = f"{len(ended)} of {counted(len(entities), 'list')} compared{f', {waits[0]}' if waits else ''}"
            return Look(line=told, is_over=not (left or running))

        await follow(look, console, parting="no longer watched; what was started goes on, and is kept in sync.proofs")
    async with database.transaction() as connection:
        return tuple([await _proof(connection, org_id, entity, method, ended[entity]) for entity in entities])


async def _proof(connection: AsyncConnection, org_id: str, entity: str, method: str, run: FlowRun) -> Proof:
    state = run.state
    assert state is not None, "it is over"
    kept = await proof_of_flow_run(connection, org_id, str(run.id))
    if kept is None or not state.is_completed():
        return Proof(
            org_id=org_id,
            entity=entity,
            method=method,
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
