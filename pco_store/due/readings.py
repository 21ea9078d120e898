"""Notes which lists fan-outs have read: from their children, which the ledger keeps until they are noted.

A list counts as read when its child was written down, for its request came later; so it is never thought younger than
it is, and a change of its parent that is seen meanwhile makes it due again. So does what it no longer showed, until
that is decided.
"""

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import load_catalog
from pco_catalog.chains import Chain, Level, level_of_list
from pco_catalog.due_lists import DAY_SECONDS
from pco_store.due.lists import DueKind, due_kind, list_values, refresh_lists

_NOTE: Final = """
    INSERT INTO sync.lists AS list (org_id, entity, path, scope, last_read_at, requests, due_at, pace_seconds,
        is_refused)
    SELECT DISTINCT ON (child.scope) child.org_id, child.entity, :path, child.scope, child.started_at,
        greatest((SELECT sum(page.requests) FROM sync.pages AS page WHERE page.run_id = child.run_id), 1),
        child.started_at, :period, child.state = 'forbidden'
    FROM sync.runs AS root JOIN sync.runs AS child ON child.parent_run_id = root.run_id
    WHERE {roots} AND child.entity = :entity AND child.state IN ('completed', 'absent', 'forbidden')
    ORDER BY child.scope, child.started_at DESC
    ON CONFLICT (org_id, path, scope) DO UPDATE SET last_read_at = excluded.last_read_at, requests = excluded.requests,
        is_refused = excluded.is_refused
    WHERE list.last_read_at IS NULL OR list.last_read_at < excluded.last_read_at
"""


async def note_fan_out(connection: AsyncConnection, root_id: int) -> None:
    """Note what the children of one fan-out have read, at each of its levels. Safe to repeat.

    A level that the catalogue does not know any more has no lists to be kept.
    """
    found = await connection.execute(
        text("SELECT org_id, entity, fan_out -> 'below' AS below FROM sync.runs WHERE run_id = :root_id"),
        {"root_id": root_id},
    )
    root = found.one()
    catalog = load_catalog()
    for name in (*root.below[1:], root.entity):
        entity = catalog.by_name.get(name)
        if entity is None:
            continue
        level = level_of_list(catalog, entity, final_entity=root.entity, below=tuple(root.below))
        if level is None:
            continue
        kind = due_kind(level)
        noted = await connection.execute(
            text(_NOTE.format(roots="root.run_id = :root_id")), list_values(kind, root_id=root_id)
        )
        if noted.rowcount:
            await refresh_lists(connection, root.org_id, kind)


async def keep_due(
    connection: AsyncConnection, root_id: int, level: Level, scopes: Collection[str] | None, *, only_gone: bool = False
) -> None:
    """Of these lists, or of all, those that a fan-out has read are due again, as if their parents had just changed.

    Also those of parents that are gone, which are forgotten once they are read; or `only_gone`, none but those.
    """
    await connection.execute(
        text(
            """
            INSERT INTO sync.lists AS list (org_id, entity, path, scope, last_read_at, due_at, pace_seconds, changed_at)
            SELECT org_id, entity, :path, scope, started_at, now(), :day, now() FROM sync.runs
            WHERE parent_run_id = :root_id AND entity = :entity
                AND (state = 'absent' OR (state = 'completed' AND NOT :only_gone))
                AND (CAST(:scopes AS text[]) IS NULL OR scope = ANY(CAST(:scopes AS text[])))
            ORDER BY scope
            ON CONFLICT (org_id, path, scope) DO UPDATE
            SET due_at = excluded.due_at, pace_seconds = excluded.pace_seconds, changed_at = excluded.changed_at
            """
        ),
        {
            "root_id": root_id,
            "entity": level.entity.name,
            "path": level.path,
            "day": DAY_SECONDS,
            "scopes": None if scopes is None else sorted(scopes),
            "only_gone": only_gone,
        },
    )


async def read_before(connection: AsyncConnection, org_id: str, entities: Sequence[str]) -> frozenset[str]:
    """Of these kinds, those of which all lists were read once: where the mirror has none, there are none."""
    found = await connection.scalars(
        text(
            "SELECT DISTINCT entity FROM sync.runs WHERE org_id = :org_id AND entity = ANY(CAST(:entities AS text[])) "
            "AND scope IN ('', '*') AND mode = 'full' AND turn IS NOT NULL AND state = 'completed'"
        ),
        {"org_id": org_id, "entities": list(entities)},
    )
    return frozenset(found)


async def note_earlier(connection: AsyncConnection, org_id: str, chain: Chain, kind: DueKind) -> None:
    """Note what fan-outs that never completed have read; of a kind that was never kept, what all have.

    Not that a parent's list was absent: nobody has looked yet for what stood in it, and the next reading must. Safe to
    repeat.
    """
    roots = """
        root.org_id = :org_id AND root.entity = :entity AND root.scope = '*'
        AND root.fan_out -> 'below' = to_jsonb(CAST(:below AS text[]))
        AND (root.state = 'completed' OR child.state <> 'absent')
        AND (root.state <> 'completed' OR NOT EXISTS (
            SELECT FROM sync.lists AS kept WHERE kept.org_id = :org_id AND kept.path = :path))
    """
    await connection.execute(text(_NOTE.format(roots=roots)), list_values(kind, org_id=org_id, below=chain.names))
