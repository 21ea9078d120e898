"""Records that a complete walk did not show: found, and, once their absence is confirmed, marked as deleted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Table, text
from sqlalchemy.dialects.postgresql import dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.ledger import RunHandle, check_fence

_QUOTE = dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]


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
    name, living = name_of(table), "org_id = :org_id AND _deleted_at IS NULL"
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


async def bury(
    connection: AsyncConnection, run: RunHandle, table: Table, ids: Sequence[str], *, reason: str, absent_at: datetime
) -> int:
    """`bury_rows`, as long as the run is ours. Raises `LeaseLost` when it is not any more."""
    await check_fence(connection, run)
    return await bury_rows(connection, run.org_id, table, ids, reason=reason, absent_at=absent_at)


async def bury_rows(
    connection: AsyncConnection, org_id: str, table: Table, ids: Sequence[str], *, reason: str, absent_at: datetime
) -> int:
    """Give these rows a tombstone, dated by when they were found absent; how many got one. Safe to repeat.

    A row that a request sent later has shown is left alone.
    """
    result = await connection.execute(
        text(
            f"""
            UPDATE {name_of(table)} SET _deleted_at = :absent_at, _deleted_reason = :reason
            WHERE org_id = :org_id AND id = ANY(CAST(:ids AS text[])) AND _deleted_at IS NULL
              AND _synced_at < :absent_at
            """  # noqa: S608 - names from the catalogue
        ),
        {"absent_at": absent_at, "reason": reason, "org_id": org_id, "ids": sorted(ids)},
    )
    return int(result.rowcount)


def name_of(table: Table) -> str:
    """The table, quoted for a statement."""
    return f"{_QUOTE(str(table.schema))}.{_QUOTE(table.name)}"
