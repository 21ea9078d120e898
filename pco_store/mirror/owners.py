"""Whose the records are that PCO lists below others, and which of their owners are worth a second look.

An owner is named as a fan-out names the parent of a list: by the ids of the list's path, outermost first, with slashes
between them. Where one record stands in the lists of many, those that its links name are its owners.
"""

from collections.abc import Sequence

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.ancestors import ids_in, is_shared
from pco_catalog.catalog import Entity
from pco_store.mirror.links import name_of_list
from pco_store.mirror.tables import mirror_table, quoted_name


def scope_of(path: str, *, last: str | None = None) -> str:
    """The ids in a path, out of the columns of a row; null if one of them is not known. `last`: where the last is."""
    names = ids_in(path)
    columns = [f'"{name}"' for name in (names if last is None else [*names[:-1], last])]
    return " || '/' || ".join(columns)


def placed_rows(entity: Entity, path: str) -> str:
    """A query of the live rows of a church, each with the owner (`scope`) in whose list at `path` it stands.

    Its parameter is `org_id`. A link counts as a part of the row: `_synced_at` is when either was seen last.
    """
    table = mirror_table(entity)
    name, changed = quoted_name(table), "updated_at" if "updated_at" in table.columns else "NULL"
    if not is_shared(entity, path):
        return (
            f"SELECT {scope_of(path)} AS scope, id, {changed} AS updated_at, _content_hash, _synced_at "  # noqa: S608
            f"FROM {name} WHERE org_id = :org_id AND _deleted_at IS NULL"
        )
    parent, list_name = name_of_list(path)
    return (
        f"SELECT link.scope, row.id, {changed} AS updated_at, row._content_hash, "  # noqa: S608 - names from the catalogue
        f"greatest(row._synced_at, link.seen_at) AS _synced_at FROM sync.links AS link "
        f"JOIN {name} AS row ON row.org_id = link.org_id AND row.id = link.id "
        f"WHERE link.org_id = :org_id AND link.entity = '{entity.name}' AND link.parent = '{parent}' "
        f"AND link.list = '{list_name}' AND link.unlisted_at IS NULL AND row._deleted_at IS NULL"
    )


async def owners_with_most(
    connection: AsyncConnection, org_id: str, entity: Entity, path: str, *, limit: int
) -> Sequence[str]:
    """The owners of most rows."""
    result = await connection.execute(
        text(
            f"SELECT scope FROM ({placed_rows(entity, path)}) AS placed WHERE scope IS NOT NULL "  # noqa: S608
            "GROUP BY scope ORDER BY count(*) DESC, scope LIMIT :limit"
        ),
        {"org_id": org_id, "limit": limit},
    )
    return result.scalars().all()


async def named_owners(connection: AsyncConnection, org_id: str, entity: Entity, path: str) -> Sequence[str]:
    """Every owner that a row names."""
    result = await connection.execute(
        text(f"SELECT DISTINCT scope FROM ({placed_rows(entity, path)}) AS placed WHERE scope IS NOT NULL"),  # noqa: S608
        {"org_id": org_id},
    )
    return result.scalars().all()


async def owners_that_do_not_add_up(
    connection: AsyncConnection,
    org_id: str,
    owners: Table,
    children: Table,
    column: str,
    *,
    amount: str,
    seed: str,
    limit: int,
) -> Sequence[str]:
    """Owners whose `amount` is not the sum of their children's, which is 0 where they have none.

    The same ones for the same seed, any of them for another: some may never add up.
    """
    result = await connection.execute(
        text(
            f"""
            SELECT owner.id FROM {quoted_name(owners)} AS owner LEFT JOIN (
                SELECT "{column}" AS owner_id, sum("{amount}") AS total FROM {quoted_name(children)}
                WHERE org_id = :org_id AND _deleted_at IS NULL GROUP BY "{column}") AS child
              ON child.owner_id = owner.id
            WHERE owner.org_id = :org_id AND owner._deleted_at IS NULL AND owner."{amount}" <> coalesce(child.total, 0)
            ORDER BY hashtextextended(owner.id || :seed, 0) LIMIT :limit
            """  # noqa: S608 - names from the catalogue
        ),
        {"org_id": org_id, "seed": seed, "limit": limit},
    )
    return result.scalars().all()


async def owners_by_chance(
    connection: AsyncConnection, org_id: str, parent: Entity, path: str, *, seed: str, limit: int
) -> Sequence[str]:
    """Any records of `parent`, whose lists are at `path`; the same for the same seed."""
    if not _has_scopes(parent, path):
        return []
    result = await connection.execute(
        text(
            f"SELECT scope FROM ({_parents(parent, path)}) AS parent WHERE scope IS NOT NULL "  # noqa: S608
            "ORDER BY hashtextextended(scope || :seed, 0) LIMIT :limit"
        ),
        {"org_id": org_id, "seed": seed, "limit": limit},
    )
    return result.scalars().all()


async def count_owners(connection: AsyncConnection, org_id: str, parent: Entity, path: str) -> int:
    """How many records of `parent` there are, whose lists are at `path`."""
    if not _has_scopes(parent, path):
        return 0
    counted = await connection.scalar(
        text(f"SELECT count(scope) FROM ({_parents(parent, path)}) AS parent"),  # noqa: S608 - names from the catalogue
        {"org_id": org_id},
    )
    return int(counted or 0)


def _has_scopes(parent: Entity, path: str) -> bool:
    """Whether the rows of the parents have the ids of their own parents; where they are shared by many, links do."""
    return set(ids_in(path)[:-1]) <= set(mirror_table(parent).columns.keys())


def _parents(parent: Entity, path: str) -> str:
    return (
        f"SELECT {scope_of(path, last='id')} AS scope FROM {quoted_name(mirror_table(parent))} "  # noqa: S608
        "WHERE org_id = :org_id AND _deleted_at IS NULL"
    )
