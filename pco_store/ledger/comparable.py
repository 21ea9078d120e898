"""Which mirrors of a church can be compared with Planning Center, and which cannot."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.ledger.openings import FAN_OUT_SCOPE, ORGANIZATION


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparable:
    """Entities of a church by name: lists that were read completely, lists that were begun only, and what was read
    below parents only."""

    complete: tuple[str, ...]
    unread: tuple[str, ...]
    below_parents: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """No sync of this church was ever begun."""
        return not (self.complete or self.unread or self.below_parents)


async def find_comparable(connection: AsyncConnection, org_id: str) -> Comparable:
    """What the ledger knows of a church."""
    complete = await connection.execute(
        text("SELECT entity FROM sync.watermarks WHERE org_id = :org_id AND scope = '' ORDER BY entity"),
        {"org_id": org_id},
    )
    known = tuple(complete.scalars())
    begun = await connection.execute(
        text(
            "SELECT DISTINCT entity, scope = :fan_out AS is_fan_out FROM sync.runs WHERE org_id = :org_id "
            "AND scope IN ('', :fan_out) AND entity <> :organization ORDER BY entity"
        ),
        {"org_id": org_id, "fan_out": FAN_OUT_SCOPE, "organization": ORGANIZATION},
    )
    others = [row for row in begun if row.entity not in known]
    unread = {row.entity for row in others if not row.is_fan_out}
    return Comparable(
        complete=known,
        unread=tuple(sorted(unread)),
        below_parents=tuple(row.entity for row in others if row.is_fan_out and row.entity not in unread),
    )


async def known_churches(connection: AsyncConnection) -> list[str]:
    """Churches of which something was read completely, by name."""
    result = await connection.execute(text("SELECT DISTINCT org_id FROM sync.watermarks ORDER BY org_id"))
    return list(result.scalars())
