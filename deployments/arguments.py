"""What a command line may name: checked by the flow's own rules, before anything is asked of Prefect or PCO."""

from flows.parameters import check_entity, check_org_id


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
