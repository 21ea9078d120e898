"""What is in the mirror and on no page of a complete run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.chains import Level
from pco_store.ledger.runs import RunHandle
from pco_store.mirror.owners import scope_of
from pco_store.mirror.tables import quoted_name

_READ_LISTS: Final = """
    SELECT scope FROM sync.runs
    WHERE parent_run_id = :root_id AND entity = :owners AND state IN ('completed', 'absent')
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingRecords:
    """What is in the mirror and was not in the collection that a run has read.

    `live` counts the mirror's rows without a tombstone, the missing ones included; `witnesses` are ids that the run has
    seen last, if it has seen any; else, where it has read some lists only, of others that PCO should show.
    """

    ids: tuple[str, ...]
    live: int
    witnesses: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadLists:
    """The lists of `level` that a fan-out has read, where they are not all that there are."""

    root_id: int
    level: Level


async def find_missing(
    connection: AsyncConnection, run: RunHandle, table: Table, *, within: ReadLists | None = None
) -> MissingRecords:
    """Compare the mirror with the ids on the run's pages and its children's, which must be all that there are.

    Rows that somebody wrote since the run began are not missing, nor are records that it has put into quarantine. Of
    what came with the owners in some lists, `within` says in which; what belongs to others is not missing.
    """
    name, living = quoted_name(table), "org_id = :org_id AND _deleted_at IS NULL"
    stood, names = living, {}
    if within is not None:
        stood += f" AND {scope_of(within.level.path)} IN ({_READ_LISTS})"
        names = {"root_id": within.root_id, "owners": within.level.entity.name}
    runs = "= ANY (ARRAY(SELECT CAST(:run_id AS bigint) UNION ALL SELECT run_id FROM own))"
    # EXCEPT sorts or hashes, whatever Postgres thinks of the arrays; of a join it tried every row with every id.
    result = await connection.execute(
        text(
            f"""
            WITH own AS MATERIALIZED (SELECT run_id FROM sync.runs WHERE parent_run_id = :run_id),
            missing AS (
                SELECT id FROM {name} WHERE {stood} AND _synced_at < :began_at
                EXCEPT (SELECT unnest(ids) FROM sync.pages WHERE run_id {runs}
                        UNION ALL SELECT record_id FROM sync.quarantine WHERE run_id {runs}))
            SELECT (SELECT count(*) FROM {name} WHERE {living}) AS live,
                ARRAY(SELECT id FROM missing ORDER BY id) AS ids,
                ARRAY(SELECT ids[1] FROM sync.pages WHERE run_id {runs} AND cardinality(ids) > 0
                      ORDER BY committed_at DESC LIMIT 3) AS witnesses
            """  # noqa: S608 - names from the catalogue
        ),
        {"run_id": run.run_id, "org_id": run.org_id, "began_at": run.started_at, **names},
    )
    row = result.one()
    witnesses = row.witnesses
    if row.ids and not witnesses and within is not None:
        others = await connection.execute(
            text(
                f"SELECT id FROM {name} WHERE {living} AND {scope_of(within.level.path)} IS NOT NULL "  # noqa: S608 - the same
                "AND id <> ALL(CAST(:ids AS text[])) ORDER BY _synced_at DESC, id LIMIT 3"
            ),
            {"org_id": run.org_id, "ids": row.ids},
        )
        witnesses = others.scalars().all()
    return MissingRecords(ids=tuple(row.ids), live=row.live, witnesses=tuple(dict.fromkeys(witnesses)))


async def read_owners(
    connection: AsyncConnection, org_id: str, table: Table, path: str, ids: Sequence[str]
) -> dict[str, str]:
    """Below whom these records are, by the ids in `path` that their rows have; without those that do not have them."""
    result = await connection.execute(
        text(
            f"SELECT id, {scope_of(path)} AS owner FROM {quoted_name(table)} "  # noqa: S608 - names from the catalogue
            f"WHERE org_id = :org_id AND id = ANY(CAST(:ids AS text[])) AND {scope_of(path)} IS NOT NULL"
        ),
        {"org_id": org_id, "ids": list(ids)},
    )
    return {row.id: row.owner for row in result}


async def shown_of(connection: AsyncConnection, run: RunHandle, ids: Sequence[str]) -> frozenset[str]:
    """Of these records, those that the run or its children have shown."""
    result = await connection.execute(
        text(
            """
            SELECT one FROM unnest(CAST(:ids AS text[])) AS one
            WHERE one IN (SELECT unnest(ids) FROM sync.pages WHERE run_id = ANY(ARRAY(
                SELECT CAST(:run_id AS bigint) UNION ALL SELECT run_id FROM sync.runs WHERE parent_run_id = :run_id)))
            """
        ),
        {"run_id": run.run_id, "ids": list(ids)},
    )
    return frozenset(result.scalars())


async def named_by_unread_owners(
    connection: AsyncConnection, run: RunHandle, owners: Table, column: str, ids: Sequence[str]
) -> frozenset[str]:
    """Of these records, those to which a living row of `owners` points that is on no page of the owners' `run`."""
    result = await connection.execute(
        text(
            f"""
            SELECT DISTINCT "{column}" FROM {quoted_name(owners)}
            WHERE org_id = :org_id AND _deleted_at IS NULL AND "{column}" = ANY(CAST(:ids AS text[]))
              AND id NOT IN (SELECT unnest(ids) FROM sync.pages WHERE run_id = :run_id)
            """  # noqa: S608 - names from the catalogue
        ),
        {"org_id": run.org_id, "run_id": run.run_id, "ids": list(ids)},
    )
    return frozenset(result.scalars())


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


async def has_aside(connection: AsyncConnection, run_id: int) -> bool:
    """Whether a record or a place of the run's list, or of a list of its children, stands in quarantine."""
    aside = await connection.scalar(
        text(
            """
            SELECT EXISTS (SELECT FROM sync.quarantine AS item JOIN sync.runs AS own USING (run_id)
                           WHERE item.resolved_at IS NULL AND :run_id IN (own.run_id, own.parent_run_id))
            """
        ),
        {"run_id": run_id},
    )
    return bool(aside)


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
               OR one IN (SELECT unnest(ids) FROM sync.pages WHERE run_id IN (
                    SELECT before.run_id UNION ALL
                    SELECT child.run_id FROM sync.runs AS child WHERE child.parent_run_id = before.run_id))
            """
        ),
        {"org_id": run.org_id, "entity": run.entity, "scope": run.scope, "run_id": run.run_id, "ids": list(ids)},
    )
    return frozenset(result.scalars())
