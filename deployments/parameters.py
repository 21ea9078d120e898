"""What commands may be told, and the words in which a wrong value is refused before anything is started."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter, validators

from pco_catalog.catalog import load_catalog
from pco_catalog.patterns import select_entities
from pco_client.oauth import scope_of


class WrongArgumentError(Exception):
    """The command line asks for what cannot be; the message says why."""


def words(values: Sequence[str]) -> list[str]:
    """Patterns as words of their own, or several in one; they hold no blanks and commas."""
    return [word for value in values for word in value.replace(",", " ").split()]


def check_below(entity: str, below: Sequence[str] | None) -> None:
    """Raises `WrongArgumentError` if these parents do not lead to the entity."""
    from flows.parameters import child_chain

    try:
        child_chain(entity, below)
    except ValueError as error:
        raise WrongArgumentError(str(error)) from None


def check_comparable(entity: str, method: str) -> None:
    """Raises `WrongArgumentError` for what `verify` cannot compare by this method."""
    from flows.parameters import comparable_entity

    try:
        comparable_entity(entity, method)
    except ValueError as error:
        raise WrongArgumentError(str(error)) from None


def _check_church(_: Any, value: str | None) -> None:
    from flows.parameters import check_org_id

    if value is None:
        return
    try:
        check_org_id(value)
    except ValueError as error:
        meant = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:63]
        raise ValueError(f"{error}; did you mean {meant}?" if meant else str(error)) from None


def products_with_scope() -> tuple[str, ...]:
    """The products that are mirrored and that a consent opens one by one."""
    return tuple(sorted({one.product for one in load_catalog().entities() if scope_of(one.product) is not None}))


def _check_products(_: Any, values: tuple[str, ...]) -> None:
    known = products_with_scope()
    unknown = [one for one in values if one not in known]
    if unknown:
        raise ValueError(f"unknown product {unknown[0]!r}; known: {', '.join(known)}")


def _check_mirrored(_: Any, value: str | None) -> None:
    from flows.parameters import check_mirrored_entity

    if value is not None:
        check_mirrored_entity(value)


def _check_child(_: Any, value: str) -> None:
    from flows.parameters import child_entity

    child_entity(value)


def _check_known(_: Any, value: str) -> None:
    load_catalog().entity(value)


def _check_patterns(_: Any, value: Sequence[str]) -> None:
    select_entities(load_catalog(), words(value), ())


def _check_entity_or_pattern(_: Any, value: str | None) -> None:
    if value is None:
        return
    names = [one.name for one in load_catalog().entities()]
    if value in load_catalog().by_name:
        _check_mirrored(_, value)
    elif "." in value and not set(value) & set("*?, "):
        _check_known(_, value)
    elif meant := [name for name in names if name.partition(".")[2].lower() == value.lower()]:
        raise ValueError(f"{value!r} is written with its product: {', '.join(meant)}")
    else:
        _check_patterns(_, [value])


OrgId = Annotated[
    str, Parameter(name="ORG", validator=_check_church, help="The church, by the name of its credentials.")
]
EntityOrPattern = Annotated[
    str,
    Parameter(
        name="ENTITY",
        validator=_check_entity_or_pattern,
        help="Such as people.Person, or patterns such as people.* or giving. Left out: the whole church.",
    ),
]
MirroredEntity = Annotated[str, Parameter(validator=_check_mirrored, help="Only this kind, such as people.Person.")]
ChildEntity = Annotated[str, Parameter(name="ENTITY", validator=_check_child, help="Such as groups.Membership.")]
KnownEntity = Annotated[str, Parameter(name="ENTITY", validator=_check_known, help="Such as people.Address.")]
MirroredEntities = Annotated[
    str,
    Parameter(name="ENTITY", validator=_check_mirrored, help="Left out: every list that was read completely."),
]
Include = Annotated[
    tuple[str, ...],
    Parameter(
        consume_multiple=True,
        show_default=False,
        validator=_check_patterns,
        help="Only these, such as people.* or giving.",
    ),
]
Exclude = Annotated[
    tuple[str, ...],
    Parameter(consume_multiple=True, show_default=False, validator=_check_patterns, help="All but these."),
]
ConsentProducts = Annotated[
    tuple[str, ...],
    Parameter(
        consume_multiple=True,
        show_default=False,
        validator=_check_products,
        help="Only these, such as people groups; with --oauth. Left out: all that are mirrored.",
    ),
]
Below = Annotated[
    tuple[str, ...],
    Parameter(
        consume_multiple=True, show_default=False, help="The parents, outermost first: groups.Group,groups.Event."
    ),
]
Parents = Annotated[int, Parameter(validator=validators.Number(gte=1))]
Requests = Annotated[int, Parameter(validator=validators.Number(gte=1))]
Epoch = Annotated[
    str, Parameter(help="Which turn. Left out: an unfinished one is continued, else a new one is opened.")
]
KnownEpoch = Annotated[str, Parameter(help="Which turn; `fan-outs` lists them.")]
ChurchMode = Annotated[
    Literal["full", "delta", "rest", "lists"],
    Parameter(
        help="Everything, what changed since the last sync, what no delta tells and is due, or all lists at top level."
    ),
]
Json = Annotated[
    bool, Parameter(name="--json", show_default=False, help="Print the result as JSON, and progress on standard error.")
]
NoWatch = Annotated[bool, Parameter(show_default=False, help="Return at once instead of watching it to its end.")]
