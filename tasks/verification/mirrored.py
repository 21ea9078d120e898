"""What is known of a mirror before it is compared, and what a comparison takes for a change in passing."""

from datetime import UTC, datetime, timedelta

from pco_catalog.catalog import Entity, load_catalog
from pco_catalog.chains import Chain, Level, NoChainError, chain_to
from pco_store.ledger.proving.proofs import MirrorState, mirror_state
from tasks.lifespan import Resources
from tasks.patience import patiently
from tasks.verification.comparison import Moment


class NotMirroredError(Exception):
    """The entity was never read completely, so there is nothing to compare."""


async def read_mirror_state(resources: Resources, org_id: str, entity: Entity) -> MirrorState:
    """What is known of the mirror. Raises `NotMirroredError` if it was never complete, and the errors of the store."""
    state = await patiently(resources, lambda connection: mirror_state(connection, org_id, entity))
    if state.as_of is None:
        raise NotMirroredError(
            f"{entity.name} of {org_id} was never read completely, so there is nothing to compare; sync it first"
        )
    return state


def known_until(state: MirrorState) -> datetime:
    """Until when the mirror is known to be complete."""
    assert state.as_of is not None, "what was never complete is not compared"
    return state.as_of


def moment_of(resources: Resources, state: MirrorState) -> Moment:
    """What was changed meanwhile, as of now."""
    ahead = max(resources.pco_ahead, timedelta())
    return Moment(as_of=known_until(state), began=state.now, now=datetime.now(UTC) + ahead)


def chain_read(entity: Entity, state: MirrorState) -> Chain:
    """The lists by which a kind without a list of its own was read last. Raises `NotMirroredError`."""
    if entity.sideload is not None and not state.below:
        owner = load_catalog().entity(entity.sideload.owner)
        return Chain(levels=(Level(parent=owner, entity=entity, path=entity.sideload.path),))
    try:
        return chain_to(load_catalog(), entity, state.below)
    except NoChainError as error:
        raise NotMirroredError(
            f"{entity.name} was read in a way that is none any more ({error}); sync it first"
        ) from None
