"""The mirror of one kind, as it is compared: what is known of it, its rows, and what counts as a change in passing."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import Entity, load_catalog
from pco_catalog.chains import Chain, Level, NoChainError, chain_to
from pco_store.ledger.proving.proofs import (
    MirrorCounts,
    MirroredRow,
    MirrorState,
    OpenQuarantine,
    Stretch,
    count_mirror,
    creation_times,
    live_rows,
    mirror_state,
    rows_by_id,
    rows_of,
    rows_of_owners,
    values_by_id,
)
from pco_store.mirror.tables import mirror_table
from tasks.lifespan import Resources
from tasks.patience import patiently
from tasks.verification.comparison import Moment, needs_values

T = TypeVar("T")


class NotMirroredError(Exception):
    """The entity was never read completely, so there is nothing to compare."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mirror:
    """The mirror of one kind of a church. `state` is what was known when the comparison began; the rows are read now.

    The methods raise the errors of the store.
    """

    resources: Resources
    org_id: str
    entity: Entity
    state: MirrorState

    @property
    def as_of(self) -> datetime:
        """Until when it is known to be complete."""
        assert self.state.as_of is not None, "what was never complete is not compared"
        return self.state.as_of

    def moment(self) -> Moment:
        """What was changed meanwhile, as of now."""
        ahead = max(self.resources.pco_ahead[self.org_id], timedelta())
        return Moment(as_of=self.as_of, began=self.state.now, now=datetime.now(UTC) + ahead)

    async def read(self, step: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """What a step finds in the database."""
        return await patiently(self.resources, step)

    async def quarantine(self) -> OpenQuarantine:
        """What is in quarantine by now."""
        return (await read_mirror(self.resources, self.org_id, self.entity)).state.quarantine

    async def count(self, *, cut: datetime) -> MirrorCounts:
        """How many live rows there are."""
        return await self.read(lambda connection: count_mirror(connection, self._table, self.org_id, cut=cut))

    async def live_rows(self) -> dict[str, datetime]:
        """All live rows by id, and when the request was sent that showed what each holds."""
        return await self.read(lambda connection: live_rows(connection, self._table, self.org_id))

    async def rows_by_id(self, ids: Iterable[str]) -> dict[str, MirroredRow]:
        """The live rows among these."""
        return await self.read(lambda connection: rows_by_id(connection, self._table, self.org_id, ids))

    async def rows_of(self, stretch: Stretch) -> dict[str, MirroredRow]:
        """The live rows of a stretch."""
        return await self.read(lambda connection: rows_of(connection, self._table, self.org_id, stretch))

    async def rows_of_owners(self, path: str, owners: Sequence[str]) -> dict[str, dict[str, MirroredRow]]:
        """The live rows in the lists at `path` below these owners, by owner and id."""
        return await self.read(lambda connection: rows_of_owners(connection, self.org_id, self.entity, path, owners))

    async def values(self, rows: Mapping[str, MirroredRow]) -> Mapping[str, Mapping[str, Any]]:
        """The columns of those that have a hash of an older version."""
        ids = needs_values(rows)
        if not ids:
            return {}
        return await self.read(lambda connection: values_by_id(connection, self._table, self.org_id, ids))

    async def creation_times(self, shares: Sequence[float]) -> list[datetime]:
        """The times of creation below which these shares of the live rows lie."""
        return await self.read(lambda connection: creation_times(connection, self._table, self.org_id, shares=shares))

    @property
    def _table(self) -> Table:
        return mirror_table(self.entity)


async def read_mirror(resources: Resources, org_id: str, entity: Entity) -> Mirror:
    """What is known of the mirror. Raises `NotMirroredError` if it was never complete, and the errors of the store."""
    state = await patiently(resources, lambda connection: mirror_state(connection, org_id, entity))
    if state.as_of is None:
        raise NotMirroredError(
            f"{entity.name} of {org_id} was never read completely, so there is nothing to compare; sync it first"
        )
    return Mirror(resources=resources, org_id=org_id, entity=entity, state=state)


def chain_read(mirror: Mirror) -> Chain:
    """The lists by which a kind without a list of its own was read last. Raises `NotMirroredError`."""
    entity, below = mirror.entity, mirror.state.below
    if entity.sideload is not None and not below:
        owner = load_catalog().entity(entity.sideload.owner)
        return Chain(levels=(Level(parent=owner, entity=entity, path=entity.sideload.path),))
    try:
        return chain_to(load_catalog(), entity, below)
    except NoChainError as error:
        raise NotMirroredError(
            f"{entity.name} was read in a way that is none any more ({error}); sync it first"
        ) from None
