"""verify_entity: prove the mirror of one kind of record against Planning Center, and keep the proof."""

from datetime import UTC, datetime
from typing import Annotated

from prefect.artifacts import acreate_table_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed
from pydantic import Field

from flows.call_from_anywhere import flow_from_anywhere
from flows.parameters import MirroredEntityName, OrgId, comparable_entity
from tasks.flow_run import current_flow_run_id
from tasks.lifespan import get_client_for_org, opened_resources
from tasks.reports.artifacts import artifact_key, as_table, unless_refused
from tasks.run_names import own_run_name
from tasks.runs.opening import checked_schema
from tasks.settings import read_settings
from tasks.verification.mirrored import read_mirror
from tasks.verification.proof import Method, Proof
from tasks.verification.proving import prove

SamplePages = Annotated[int, Field(ge=2, le=500, description="Pages, or owners, that a sample compares")]


@flow_from_anywhere(
    name="verify-entity",
    flow_run_name=own_run_name,
    description="Compare the mirror of one kind of record with Planning Center, and keep the proof.",
    validate_parameters=True,
)
async def verify_entity(
    org_id: OrgId,
    entity: MirroredEntityName,
    method: Method = "sample",
    sample_pages: SamplePages = 20,
    seed: int | None = None,
) -> State[Proof]:
    """Compare, keep the proof in `sync.proofs`, and end in a state that is named as its verdict (docs/verdicts.md).

    Args:
        org_id: Which church: the name of its credentials block, such as grace
        entity: What to compare: product.Resource in PCO's spelling
        method: count compares counts, sample the content of some pages or owners, full that of every record
        sample_pages: How many pages a sample compares; of what is listed below owners only, how many owners
        seed: Which ones; left out, others every day

    Raises `ValueError` for a count of what has no list of its own, `NotMirroredError`, and the errors of settings,
    credentials, client and store.
    """
    described = comparable_entity(entity, method)
    async with opened_resources(read_settings()) as resources:
        await checked_schema(resources)
        await read_mirror(resources, org_id, described)
        client = await get_client_for_org(org_id, resources)
        chosen = datetime.now(UTC).date().toordinal() if seed is None else seed
        proof = await prove(
            resources,
            client,
            org_id,
            described,
            method=method,
            sample_pages=sample_pages,
            seed=chosen,
            flow_run_id=current_flow_run_id(),
        )
    get_run_logger().info("%s of %s, by %s: %s. %s", entity, org_id, method, proof.verdict, proof.message)
    await _publish(proof)
    return Completed(name=proof.verdict, message=proof.message, data=proof)


async def _publish(proof: Proof) -> None:
    shown = {**proof.facts, "requests": proof.requests, "seconds": proof.seconds}
    with unless_refused("the table of the proof"):
        await acreate_table_artifact(
            as_table(shown),
            key=artifact_key("proof", proof.org_id, proof.entity),
            description=f"{proof.entity} of {proof.org_id}, by {proof.method}: {proof.verdict}. {proof.message}",
        )
