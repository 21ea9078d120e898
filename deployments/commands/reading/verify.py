"""`verify`: compare mirrors with Planning Center."""

from typing import Annotated, Literal

from cyclopts import Parameter, validators

from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import Json, MirroredEntities, OrgId, check_comparable
from deployments.terminal import terminal


def verify(
    org_id: OrgId,
    /,
    *entities: MirroredEntities,
    method: Annotated[
        Literal["count", "sample", "full"], Parameter(help="Counts, some pages or owners, or every record.")
    ] = "sample",
    pages: Annotated[
        int | None,
        Parameter(validator=validators.Number(gte=2, lte=500), help="How many pages, or owners, a sample compares."),
    ] = None,
    json: Json = False,
) -> int:
    """Compare mirrors with Planning Center: exit code 1 if one differs, 3 if nobody can tell."""
    for entity in entities:
        check_comparable(entity, method)
    find_servers()
    from deployments.operations.verify import verify as compare

    return interrupts.run(compare(org_id, entities, method, pages, terminal(as_json=json), as_json=json))
