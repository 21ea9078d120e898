"""Which mirrors of a church can be compared with Planning Center, and which cannot."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import load_catalog
from pco_store.ledger.openings import FAN_OUT_SCOPE, ORGANIZATION


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparable:
    """Entities of a church by name: those that were read completely, and those that were begun only."""

    complete: tuple[str, ...]
    unread: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """No sync of this church was ever begun."""
        return not (self.complete or self.unread)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadingBelow:
    """The last time a kind that has no list of its own was read completely, and what it knows of: all until `as_of`.

    `below` are the parents of the fan-out that read it; none if it came with the list of its owners.
    """

    as_of: datetime
    below: tuple[str, ...]


async def find_comparable(connection: AsyncConnection, org_id: str) -> Comparable:
    """What the ledger knows of a church."""
    listed = await connection.execute(
        text("SELECT entity FROM sync.watermarks WHERE org_id = :org_id AND scope = '' ORDER BY entity"),
        {"org_id": org_id},
    )
    complete = {*listed.scalars(), *await readings_below(connection, org_id)}
    begun = await connection.execute(
        text(
            "SELECT DISTINCT entity FROM sync.runs WHERE org_id = :org_id "
            "AND scope IN ('', :fan_out) AND entity <> :organization"
        ),
        {"org_id": org_id, "fan_out": FAN_OUT_SCOPE, "organization": ORGANIZATION},
    )
    return Comparable(complete=tuple(sorted(complete)), unread=tuple(sorted({*begun.scalars()} - complete)))


async def readings_below(connection: AsyncConnection, org_id: str) -> dict[str, ReadingBelow]:
    """By name, the kinds that have no list of their own and were read completely.

    That is with all their owners, which have kept to the include; or by a fan-out of which no parent is left, and whose
    missing records were looked for. If their owners were read by a fan-out, what came with them is complete then. A
    fan-out is as old as the oldest reading of its parents in its epoch.
    """
    result = await connection.execute(
        text(
            """
            SELECT DISTINCT ON (run.entity) run.entity, run.fan_out -> 'below' AS below,
                CASE WHEN root.run_id IS NULL THEN coalesce(list.window_until, run.window_until, run.started_at)
                ELSE least(root.started_at, (
                    SELECT min(least(parents.window_until, parents.started_at)) FROM sync.runs AS parents
                    WHERE parents.key = ANY(ARRAY(
                        SELECT unnest(ARRAY['sync-entity:' || root.org_id || ':' || above || ':' || root.epoch,
                                            'sync-children:' || root.org_id || ':' || above || ':*:' || root.epoch])
                        FROM jsonb_array_elements_text(root.fan_out -> 'below') AS above)))) END AS as_of
            FROM sync.runs AS run LEFT JOIN sync.runs AS list ON list.run_id = run.read_with
            LEFT JOIN sync.runs AS root ON root.run_id = CASE
                WHEN run.scope = :fan_out THEN run.run_id WHEN list.scope = :fan_out THEN list.run_id END
            WHERE run.org_id = :org_id AND run.mode = 'full' AND run.state = 'completed'
              AND run.plan ->> 'dropped' IS NULL AND (
                (run.read_with IS NOT NULL AND run.parent_run_id IS NULL)
                OR (run.scope = :fan_out AND run.deletions ->> 'verdict' <> 'requested' AND NOT EXISTS (
                    SELECT FROM sync.runs AS child
                    WHERE child.parent_run_id = run.run_id AND child.state IN ('dead', 'cancelled'))))
            ORDER BY run.entity, as_of DESC, run.run_id DESC
            """
        ),
        {"org_id": org_id, "fan_out": FAN_OUT_SCOPE},
    )
    catalog = load_catalog()
    return {
        row.entity: ReadingBelow(as_of=row.as_of, below=tuple(row.below or ()))
        for row in result
        if row.entity not in catalog.by_name or catalog.by_name[row.entity].list_path is None
    }


async def known_churches(connection: AsyncConnection) -> list[str]:
    """Churches of which something was read completely, by name."""
    result = await connection.execute(text("SELECT DISTINCT org_id FROM sync.watermarks ORDER BY org_id"))
    return list(result.scalars())
