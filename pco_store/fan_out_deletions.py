"""What a complete fan-out did not list below any parent, and what was found out about it: once for each fan-out."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.ledger import RunHandle
from pco_store.openings import handle_of
from pco_store.tombstones import bury_rows, name_of

REMEMBERED_FAN_OUTS: Final = 5
"""In so many earlier fan-outs is looked for where a missing record was listed before."""
FIRST_WAIT_SECONDS: Final = 60.0
"""Before somebody else is asked to find out what was deleted; asking goes on where the last one came to."""

_EARLIER: Final = """
    SELECT run_id FROM sync.runs
    WHERE org_id = :org_id AND entity = :entity AND run_id < :root_id AND fan_out IS NOT NULL AND state <> 'closed'
      AND fan_out -> 'below' = CAST(:below AS jsonb)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingBelow:
    """What is in the mirror and was listed below no parent.

    `live` counts the mirror's rows without a tombstone; `witnesses` are records that were listed, with their scopes;
    `unread` counts the parents that could not be read.
    """

    ids: tuple[str, ...]
    live: int
    unread: int
    witnesses: tuple[tuple[str, str], ...]


async def unsettled_fan_outs(connection: AsyncConnection) -> list[RunHandle]:
    """Fan-outs that have completed lately, of whose missing records nobody has found out yet; claimed by the caller.

    They are given again if nothing was found out, after waits that double, for as long as a day. One that is the first
    of its kind has nothing to find; one with dead or cancelled children is not complete.
    """
    result = await connection.execute(
        text(
            """
            UPDATE sync.runs AS root
            SET deletions = '{"verdict": "requested"}', restarts = root.restarts + 1,
                not_before = now() + make_interval(secs => :first * power(2, least(root.restarts, 12)))
            WHERE root.fan_out IS NOT NULL AND root.state = 'completed'
              AND (root.deletions IS NULL OR root.deletions ->> 'verdict' = 'requested')
              AND (root.deletions IS NULL OR coalesce(root.not_before <= now(), true))
              AND root.completed_at > now() - interval '1 day'
              AND NOT EXISTS (SELECT FROM sync.runs AS child
                              WHERE child.parent_run_id = root.run_id AND child.state IN ('dead', 'cancelled'))
              AND EXISTS (SELECT FROM sync.runs AS earlier
                          WHERE earlier.org_id = root.org_id AND earlier.entity = root.entity
                            AND earlier.run_id < root.run_id AND earlier.state <> 'closed'
                            AND earlier.fan_out -> 'below' = root.fan_out -> 'below')
            RETURNING *
            """
        ),
        {"first": FIRST_WAIT_SECONDS},
    )
    return [handle_of(row) for row in result]


async def settled_deletions(connection: AsyncConnection, root_id: int) -> Mapping[str, Any] | None:
    """What was found out about a fan-out's missing records; None as long as nobody has."""
    told: Mapping[str, Any] | None = await connection.scalar(
        text("SELECT deletions FROM sync.runs WHERE run_id = :root_id AND deletions ->> 'verdict' <> 'requested'"),
        {"root_id": root_id},
    )
    return told


async def is_complete(connection: AsyncConnection, root_id: int) -> bool:
    """Whether all parents were read, and all children are done."""
    return bool(
        await connection.scalar(
            text(
                """
                SELECT state = 'completed' AND NOT EXISTS (
                    SELECT FROM sync.runs AS child
                    WHERE child.parent_run_id = :root_id AND child.state NOT IN ('completed', 'absent', 'forbidden'))
                FROM sync.runs WHERE run_id = :root_id
                """
            ),
            {"root_id": root_id},
        )
    )


async def find_missing_below(connection: AsyncConnection, root: RunHandle, table: Table) -> MissingBelow:
    """Compare the mirror with the ids on the pages of a complete fan-out's children.

    Rows that somebody wrote since it began are not missing, nor are records that it has put into quarantine. A child
    that is absent had no list, because its parent is gone.
    """
    name, living = name_of(table), "org_id = :org_id AND _deleted_at IS NULL"
    children = "SELECT run_id FROM sync.runs WHERE parent_run_id = :root_id AND entity = :entity"
    result = await connection.execute(
        text(
            f"""
            WITH child AS MATERIALIZED ({children}),
            missing AS (
                SELECT id FROM {name} WHERE {living} AND _synced_at < :began_at
                EXCEPT (SELECT unnest(ids) FROM sync.pages WHERE run_id IN (SELECT run_id FROM child)
                        UNION ALL SELECT record_id FROM sync.quarantine WHERE run_id IN (SELECT run_id FROM child)))
            SELECT (SELECT count(*) FROM {name} WHERE {living}) AS live,
                ARRAY(SELECT id FROM missing ORDER BY id) AS ids,
                (SELECT count(*) FROM sync.runs WHERE parent_run_id = :root_id AND state = 'forbidden') AS unread
            """  # noqa: S608 - names from the catalogue
        ),
        _values(root),
    )
    row = result.one()
    witnesses = await connection.execute(
        text(
            """
            SELECT run.scope, page.ids[1] AS id FROM sync.runs AS run JOIN sync.pages AS page USING (run_id)
            WHERE run.parent_run_id = :root_id AND run.entity = :entity AND cardinality(page.ids) > 0
            ORDER BY page.committed_at DESC LIMIT 3
            """
        ),
        _values(root),
    )
    return MissingBelow(
        ids=tuple(row.ids),
        live=row.live,
        unread=row.unread,
        witnesses=tuple((one.scope, one.id) for one in witnesses),
    )


async def former_scopes(connection: AsyncConnection, root: RunHandle, ids: Sequence[str]) -> dict[str, list[str]]:
    """Below which parents these records were listed by the last fan-outs of the same kind; others are left out."""
    roots = await connection.execute(
        text(f"{_EARLIER} ORDER BY run_id DESC LIMIT :most"),
        {**_values(root), "most": REMEMBERED_FAN_OUTS},
    )
    found: dict[str, list[str]] = defaultdict(list)
    for earlier in roots.scalars().all():
        wanted = sorted(set(ids) - found.keys())
        if not wanted:
            break
        listed = await connection.execute(
            text(
                """
                SELECT run.scope, ARRAY(SELECT unnest(page.ids) INTERSECT SELECT unnest(CAST(:ids AS text[]))) AS ids
                FROM sync.runs AS run JOIN sync.pages AS page USING (run_id)
                WHERE run.parent_run_id = :earlier AND run.entity = :entity AND page.ids && CAST(:ids AS text[])
                """
            ),
            {"earlier": earlier, "entity": root.entity, "ids": wanted},
        )
        for row in listed:
            for one in row.ids:
                found[one].append(row.scope)
    return dict(found)


async def settle(
    connection: AsyncConnection,
    root: RunHandle,
    table: Table,
    *,
    verdict: str,
    missing: int,
    absent: Sequence[tuple[Sequence[str], datetime]] = (),
) -> int | None:
    """Give the absent ones their tombstones, and write down what was found out, once; how many got one.

    `absent` has them by when they were last looked for.

    None, and nothing is done, if children were added or revived meanwhile, or somebody else has settled it.
    """
    open_still = await connection.scalar(
        text(
            "SELECT state = 'completed' AND (deletions IS NULL OR deletions ->> 'verdict' = 'requested') "
            "FROM sync.runs WHERE run_id = :root_id FOR UPDATE"
        ),
        {"root_id": root.run_id},
    )
    if not open_still:
        return None
    deleted = 0
    for ids, at in absent:
        deleted += await bury_rows(connection, root.org_id, table, ids, reason="absent", absent_at=at)
    told = {"verdict": verdict, "missing": missing, "deleted": deleted}
    await connection.execute(
        text("UPDATE sync.runs SET deletions = CAST(:told AS jsonb) WHERE run_id = :root_id"),
        {"told": json.dumps(told), "root_id": root.run_id},
    )
    return deleted


def _values(root: RunHandle) -> dict[str, object]:
    assert root.fan_out is not None, "only a fan-out has children"
    return {
        "root_id": root.run_id,
        "org_id": root.org_id,
        "entity": root.entity,
        "began_at": root.started_at,
        "below": json.dumps(list(root.fan_out.below)),
    }
