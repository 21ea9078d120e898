"""`sync`: one command for whatever is to be mirrored."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter

from deployments.environment import find_servers
from deployments.interrupts import interrupts
from deployments.parameters import (
    Below,
    ChurchMode,
    EntityOrPattern,
    Epoch,
    Exclude,
    Include,
    Json,
    NoWatch,
    OrgId,
    Parents,
    Requests,
    WrongArgumentError,
    check_below,
    words,
)
from deployments.terminal import terminal
from pco_catalog.catalog import load_catalog
from pco_catalog.chains import spread_for

Conflict = Annotated[
    Literal["join", "reject", "restart"],
    Parameter(help="If it runs or is done already: join it, fail, or begin again from the start."),
]
ManyDeletions = Annotated[Literal["stop", "accept"], Parameter(help="When more records are missing than is likely.")]

_OF_ALL: Final[Mapping[str, Any]] = {"epoch": None, "on_conflict": "join", "many_deletions": "stop"}
_OF_A_CHURCH: Final[Mapping[str, Any]] = {"mode": "full", "include": [], "exclude": [], "groups_per_run": 50}
_OF_A_LIST: Final[Mapping[str, Any]] = {"mode": "full"}
_BELOW_PARENTS: Final[Mapping[str, Any]] = {"below": None, "groups_per_run": 1, "most_under_way": 200}
"""What each of them takes, and what it is told if nothing is given."""


def sync(
    org_id: OrgId,
    entity: EntityOrPattern | None = None,
    /,
    *,
    mode: ChurchMode | None = None,
    include: Include = (),
    exclude: Exclude = (),
    below: Below = (),
    epoch: Epoch | None = None,
    on_conflict: Conflict = "join",
    many_deletions: ManyDeletions = "stop",
    groups_per_run: Annotated[Parents | None, Parameter(help="Parents that a child flow run reads.")] = None,
    budget: Annotated[Requests | None, Parameter(help="Requests of a night, with --mode rest.")] = None,
    most_under_way: Annotated[Parents | None, Parameter(help="Children submitted and unfinished at a time.")] = None,
    no_watch: NoWatch = False,
    json: Json = False,
) -> int:
    """Mirror a church, a part of it, or one kind of record, and watch it to its end."""
    is_pattern = entity is not None and entity not in load_catalog().by_name
    include = (*include, entity) if is_pattern and entity else include
    kind = None if is_pattern or entity is None else spread_for(load_catalog(), entity, below)
    given = {
        "mode": mode,
        "include": words(include),
        "exclude": words(exclude),
        "below": words(below),
        "epoch": epoch,
        "on_conflict": on_conflict,
        "many_deletions": many_deletions,
        "groups_per_run": groups_per_run,
        "budget": budget,
        "most_under_way": most_under_way,
    }
    parameters = flow_parameters(kind, {name: value for name, value in given.items() if value})
    find_servers()
    from deployments.operations.sync import sync as mirror

    console = terminal(as_json=json)
    return interrupts.run(mirror(org_id, kind, parameters, console, no_watch=no_watch, as_json=json))


def is_read_below(entity: str, given: Mapping[str, Any]) -> bool:
    """Whether it is read from a list for each of its parents: PCO has no other, or these parents are asked for."""
    described = load_catalog().entity(entity)
    return described.list_path is None and (described.sideload is None or "below" in given)


def flow_parameters(entity: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the flow that does it. Raises `WrongArgumentError` for what that does not take."""
    if entity is None:
        takes, what = {**_OF_ALL, **_OF_A_CHURCH, "most_under_way": None, "budget": None}, "a church"
    elif is_read_below(entity, given):
        takes, what = {**_OF_ALL, **_BELOW_PARENTS}, f"{entity}, which PCO lists below parents only"
        check_below(entity, given.get("below"))
    else:
        takes, what = {**_OF_ALL, **_OF_A_LIST}, f"{entity}, which is read from a list at top level"
        if given.get("mode") in ("rest", "lists"):
            raise WrongArgumentError(f"--mode {given['mode']} is for a church")
    foreign = [f"--{name.replace('_', '-')}" for name in given if name not in takes]
    if foreign:
        raise WrongArgumentError(f"{', '.join(foreign)} cannot be given for {what}")
    return {name: value for name, value in {**takes, **given}.items() if value is not None}
