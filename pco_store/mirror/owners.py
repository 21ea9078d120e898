"""Which owners are worth a second look: those with most children, those that do not add up, and some by chance."""

from collections.abc import Sequence

from sqlalchemy import Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.mirror.tombstones import quoted_name


async def owners_with_most(
    connection: AsyncConnection, org_id: str, children: Table, column: str, *, limit: int
) -> Sequence[str]:
    """The owners of most rows of `children`, which name them in `column`."""
    result = await connection.execute(
        text(
            f'SELECT "{column}" FROM {quoted_name(children)} '  # noqa: S608 - names from the catalogue
            f'WHERE org_id = :org_id AND _deleted_at IS NULL AND "{column}" IS NOT NULL '
            f'GROUP BY "{column}" ORDER BY count(*) DESC, "{column}" LIMIT :limit'
        ),
        {"org_id": org_id, "limit": limit},
    )
    return result.scalars().all()


async def owners_that_do_not_add_up(
    connection: AsyncConnection, org_id: str, owners: Table, children: Table, column: str, *, amount: str, limit: int
) -> Sequence[str]:
    """Owners whose `amount` is not the sum of their children's, where they have any."""
    result = await connection.execute(
        text(
            f"""
            SELECT owner.id FROM {quoted_name(owners)} AS owner JOIN (
                SELECT "{column}" AS owner_id, sum("{amount}") AS total FROM {quoted_name(children)}
                WHERE org_id = :org_id AND _deleted_at IS NULL GROUP BY "{column}") AS child
              ON child.owner_id = owner.id
            WHERE owner.org_id = :org_id AND owner._deleted_at IS NULL AND owner."{amount}" <> child.total
            ORDER BY owner.id LIMIT :limit
            """  # noqa: S608 - names from the catalogue
        ),
        {"org_id": org_id, "limit": limit},
    )
    return result.scalars().all()


async def owners_by_chance(
    connection: AsyncConnection, org_id: str, owners: Table, *, seed: str, limit: int
) -> Sequence[str]:
    """Any owners; the same for the same seed."""
    result = await connection.execute(
        text(
            f"SELECT id FROM {quoted_name(owners)} WHERE org_id = :org_id AND _deleted_at IS NULL "  # noqa: S608
            "ORDER BY hashtextextended(id || :seed, 0) LIMIT :limit"
        ),
        {"org_id": org_id, "seed": seed, "limit": limit},
    )
    return result.scalars().all()


async def shown_children_of(
    connection: AsyncConnection, run_id: int, org_id: str, children: Table, column: str, owner: str
) -> frozenset[str]:
    """The ids of an owner's rows that a run has shown."""
    result = await connection.execute(
        text(
            f'SELECT id FROM {quoted_name(children)} WHERE org_id = :org_id AND "{column}" = :owner '  # noqa: S608
            "AND id IN (SELECT unnest(ids) FROM sync.pages WHERE run_id = :run_id)"
        ),
        {"org_id": org_id, "owner": owner, "run_id": run_id},
    )
    return frozenset(result.scalars())
