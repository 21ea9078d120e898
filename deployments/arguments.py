"""What a command line may name: checked by the flow's own rules, before anything is asked of Prefect or PCO."""

from collections.abc import Sequence

from flows.parameters import check_entity, check_mirrored_entity, check_org_id, child_chain, comparable_entity


class WrongArgumentError(Exception):
    """An argument that the flow would refuse; the message is the flow's own."""


def check_arguments(org_id: str, entity: str | None = None) -> None:
    """Raises `WrongArgumentError`."""
    try:
        check_org_id(org_id)
        if entity is not None:
            check_entity(entity)
    except ValueError as error:
        raise WrongArgumentError(str(error)) from None


def check_fan_out(org_id: str, entity: str, below: Sequence[str] | None) -> None:
    """The same for a fan-out. Raises `WrongArgumentError`."""
    check_arguments(org_id)
    try:
        child_chain(entity, below)
    except ValueError as error:
        raise WrongArgumentError(str(error)) from None


def check_mirrored(entity: str) -> None:
    """The same for anything that has a table. Raises `WrongArgumentError`."""
    try:
        check_mirrored_entity(entity)
    except ValueError as error:
        raise WrongArgumentError(str(error)) from None


def check_comparable(entity: str, method: str) -> None:
    """The same for what `verify` shall compare by a method. Raises `WrongArgumentError`."""
    try:
        comparable_entity(entity, method)
    except ValueError as error:
        raise WrongArgumentError(str(error)) from None
