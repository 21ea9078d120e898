"""What a night has not found any more in the lists that it has read: those lists alone say something about it.

A record of one parent is missing if that parent's list was read and did not show it. One that many parents share is
missing if no list is known that may still show it. A parent that is gone lists nothing.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.ancestors import ids_in
from pco_catalog.chains import Level
from pco_store.mirror.links import name_of_list
from pco_store.mirror.tables import mirror_table, quoted_name

_READ = """
    child AS MATERIALIZED (SELECT run_id, scope, state FROM sync.runs
                           WHERE parent_run_id = :root_id AND entity = :entity AND state IN ('completed', 'absent')),
    shown AS MATERIALIZED (SELECT unnest(ids) AS id FROM sync.pages WHERE run_id IN (SELECT run_id FROM child)
                           UNION ALL
                           SELECT record_id FROM sync.quarantine WHERE run_id IN (SELECT run_id FROM child))
"""


async def missing_from_read_lists(
    connection: AsyncConnection, org_id: str, root_id: int, level: Level, *, began_at: datetime
) -> tuple[str, ...]:
    """The live records that stood in a list which this fan-out has read, and stand in none that it knows.

    What somebody has written since it began is not missing.
    """
    living = "stored.org_id = :org_id AND stored._deleted_at IS NULL AND stored._synced_at < :began_at"
    stood = f"FROM {quoted_name(mirror_table(level.entity))} AS stored JOIN child ON child.scope = {_scope(level)}"
    if level.is_shared:
        stood = f"""
            FROM child JOIN sync.links AS link ON link.org_id = :org_id AND link.entity = :entity
                AND link.parent = :parent AND link.list = :list AND link.scope = child.scope
                AND (link.unlisted_at IS NOT NULL OR child.state = 'absent')
            JOIN {quoted_name(mirror_table(level.entity))} AS stored ON stored.org_id = :org_id AND stored.id = link.id
                AND NOT EXISTS (
                    SELECT FROM sync.links AS other
                    WHERE other.org_id = :org_id AND other.entity = :entity AND other.id = link.id
                        AND other.unlisted_at IS NULL AND NOT (
                            other.parent = :parent AND other.list = :list
                            AND other.scope IN (SELECT scope FROM child WHERE state = 'absent')))"""  # noqa: S608
    result = await connection.execute(
        text(
            f"WITH {_READ}, missing AS (SELECT stored.id {stood} WHERE {living} EXCEPT SELECT id FROM shown) "  # noqa: S608
            "SELECT id FROM missing ORDER BY id"
        ),
        {"root_id": root_id, "began_at": began_at, **_names(org_id, level)},
    )
    return tuple(result.scalars())


async def known_records(
    connection: AsyncConnection, org_id: str, level: Level, *, besides: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Some live records with the scopes of their lists, those seen last: PCO should show one of them."""
    source = (
        f"SELECT {_scope(level)} AS scope, stored.id FROM {quoted_name(mirror_table(level.entity))} AS stored "  # noqa: S608
        f"WHERE stored.org_id = :org_id AND stored._deleted_at IS NULL AND {_scope(level)} IS NOT NULL "
        "AND stored.id <> ALL(CAST(:besides AS text[])) ORDER BY stored._synced_at DESC, stored.id LIMIT 3"
    )
    if level.is_shared:
        source = (
            "SELECT scope, id FROM sync.links WHERE org_id = :org_id AND entity = :entity AND parent = :parent "
            "AND list = :list AND unlisted_at IS NULL AND id <> ALL(CAST(:besides AS text[])) "
            "ORDER BY seen_at DESC, id LIMIT 3"
        )
    found = await connection.execute(text(source), {"besides": list(besides), **_names(org_id, level)})
    return tuple((row.scope, row.id) for row in found)


async def forget_read_links(
    connection: AsyncConnection, org_id: str, root_id: int, level: Level, *, besides: Sequence[str] = ()
) -> None:
    """What the lists that were read do not show is decided: the links that said so are not needed any more.

    But for the records `besides`, about which nothing is decided.
    """
    await connection.execute(
        text(
            """
            DELETE FROM sync.links AS link USING sync.runs AS child
            WHERE child.parent_run_id = :root_id AND child.entity = :entity AND link.org_id = :org_id
                AND link.entity = :entity AND link.parent = :parent AND link.list = :list AND link.scope = child.scope
                AND link.id <> ALL(CAST(:besides AS text[]))
                AND ((child.state = 'completed' AND link.unlisted_at IS NOT NULL)
                     OR (child.state = 'absent' AND link.seen_at < child.started_at))
            """
        ),
        {"root_id": root_id, "besides": list(besides), **_names(org_id, level)},
    )


def _scope(level: Level) -> str:
    return " || '/' || ".join(f'stored."{name}"' for name in ids_in(level.path))


def _names(org_id: str, level: Level) -> dict[str, Any]:
    parent, name = name_of_list(level.path)
    return {"org_id": org_id, "entity": level.entity.name, "parent": parent, "list": name}
