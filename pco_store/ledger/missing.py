"""What is in the mirror and on no page of a complete run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.ledger.runs import RunHandle
from pco_store.mirror.tombstones import quoted_name


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingRecords:
    """What is in the mirror and was not in the collection that a run has read.

    `live` counts the mirror's rows without a tombstone, the missing ones included; `witnesses` are ids that the run has
    seen last, if it has seen any.
    """

    ids: tuple[str, ...]
    live: int
    witnesses: tuple[str, ...]


async def find_missing(connection: AsyncConnection, run: RunHandle, table: Table) -> MissingRecords:
    """Compare the mirror with the ids on the run's pages, which must be all that there are.

    Rows that somebody wrote since the run began are not missing, nor are records that it has put into quarantine.
    """
    name, living = quoted_name(table), "org_id = :org_id AND _deleted_at IS NULL"
    # EXCEPT sorts or hashes, whatever Postgres thinks of the arrays; of a join it tried every row with every id.
    result = await connection.execute(
        text(
            f"""
            WITH missing AS (
                SELECT id FROM {name} WHERE {living} AND _synced_at < :began_at
                EXCEPT (SELECT unnest(ids) FROM sync.pages WHERE run_id = :run_id
                        UNION ALL SELECT record_id FROM sync.quarantine WHERE run_id = :run_id))
            SELECT (SELECT count(*) FROM {name} WHERE {living}) AS live,
                ARRAY(SELECT id FROM missing ORDER BY id) AS ids,
                ARRAY(SELECT ids[1] FROM sync.pages WHERE run_id = :run_id AND cardinality(ids) > 0
                      ORDER BY committed_at DESC LIMIT 3) AS witnesses
            """  # noqa: S608 - names from the catalogue
        ),
        {"run_id": run.run_id, "org_id": run.org_id, "began_at": run.started_at},
    )
    row = result.one()
    return MissingRecords(ids=tuple(row.ids), live=row.live, witnesses=tuple(dict.fromkeys(row.witnesses)))


async def read_owners(
    connection: AsyncConnection, org_id: str, table: Table, column: str, ids: Sequence[str]
) -> dict[str, str]:
    """Whose these records are, by the column that names their owner; without those of which it is not known."""
    result = await connection.execute(
        text(
            f'SELECT id, "{column}" AS owner FROM {quoted_name(table)} '  # noqa: S608 - names from the catalogue
            f'WHERE org_id = :org_id AND id = ANY(CAST(:ids AS text[])) AND "{column}" IS NOT NULL'
        ),
        {"org_id": org_id, "ids": list(ids)},
    )
    return {row.id: row.owner for row in result}


async def gone_with_owners(
    connection: AsyncConnection, org_id: str, owners: Table, by_owner: Mapping[str, str]
) -> dict[str, datetime]:
    """Of records by their owners, those whose owner is known to be deleted, and when that was found; not if merged."""
    result = await connection.execute(
        text(
            f"""
            SELECT asked.id, owner._deleted_at FROM {quoted_name(owners)} AS owner
            JOIN unnest(CAST(:ids AS text[]), CAST(:owners AS text[])) AS asked(id, owner) ON asked.owner = owner.id
            WHERE owner.org_id = :org_id AND owner._deleted_reason NOT LIKE 'merged into %'
            """  # noqa: S608 - names from the catalogue
        ),
        {"org_id": org_id, "ids": list(by_owner), "owners": list(by_owner.values())},
    )
    return {row.id: row._deleted_at for row in result}


async def shown_before(connection: AsyncConnection, run: RunHandle, ids: Sequence[str]) -> frozenset[str]:
    """Of these records, those that the full reading before this one has shown; all, if there was none."""
    result = await connection.execute(
        text(
            """
            WITH before AS (
                SELECT max(run_id) AS run_id FROM sync.runs WHERE org_id = :org_id AND entity = :entity
                  AND scope = :scope AND state = 'completed' AND mode = 'full' AND run_id < :run_id)
            SELECT one FROM before, unnest(CAST(:ids AS text[])) AS one
            WHERE before.run_id IS NULL
               OR one IN (SELECT unnest(ids) FROM sync.pages JOIN before USING (run_id))
            """
        ),
        {"org_id": run.org_id, "entity": run.entity, "scope": run.scope, "run_id": run.run_id, "ids": list(ids)},
    )
    return frozenset(result.scalars())
