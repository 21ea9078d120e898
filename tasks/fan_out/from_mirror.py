"""The children of a fan-out for parents that the mirror knows: all, those whose lists are due, or those that a full
sync wants."""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.chains import Chain
from pco_catalog.due_lists import load_due_rules
from pco_store.clock import database_time
from pco_store.due.choosing import all_lists, choose_lists, wanted_lists
from pco_store.due.lists import count_unnamed, due_kind_of, refresh_lists
from pco_store.due.readings import note_earlier
from pco_store.ledger.fan_out.children import NewChildren, insert_children
from pco_store.ledger.fan_out.fan_outs import has_begun, has_children, mark_awaiting_children, parents_are_complete
from pco_store.ledger.openings import DUE
from pco_store.ledger.runs import RunHandle
from tasks.logs import sync_logger
from tasks.runs.opening import run_window

AT_A_TIME: Final = 500
"""Children that are inserted together. Within such a lot they stand in the order of their scopes."""


async def reads_from_mirror(connection: AsyncConnection, root: RunHandle, chain: Chain) -> bool:
    """Whether the children are those of the parents in the mirror: what is due, and all if they are known to be all.

    They are if their lists have been read in this epoch, and the row of each knows its ancestors. A fan-out that has
    begun to read its parents goes on with it.
    """
    if root.mode == DUE:
        return True
    parent = chain.levels[-1].parent
    above = [chain.names[:-1], *load_due_rules().of(parent).ways]
    return (
        not await has_begun(connection, root)
        and await parents_are_complete(connection, root, parent.name, above)
        and not await count_unnamed(connection, root.org_id, due_kind_of(chain))
    )


async def insert_from_mirror(connection: AsyncConnection, root: RunHandle, chain: Chain) -> int:
    """Write down the children, those that wait longest first, and from here on await them; how many.

    In one transaction, so that a fan-out whose process dies either has all of them or none. Raises `LeaseLost`.
    """
    kind = due_kind_of(chain)
    await note_earlier(connection, root.org_id, chain, kind)
    await refresh_lists(connection, root.org_id, kind)
    if unnamed := await count_unnamed(connection, root.org_id, kind):
        sync_logger().warning(
            "%s: %d of the %s in the mirror do not know their own parents, so nothing is listed below them",
            root.key,
            unnamed,
            chain.names[-1],
        )
    now = await database_time(connection)
    if root.mode == DUE and await has_children(connection, root):
        scopes: tuple[str, ...] = ()  # chosen by an earlier execution
    elif root.fan_out is not None and root.fan_out.wanted:
        scopes = await wanted_lists(connection, root.org_id, kind, now=now)
    elif root.mode == DUE:
        assert root.fan_out is not None, "only a fan-out has children"
        scopes = await choose_lists(connection, root.org_id, kind, now=now, budget=root.fan_out.most_requests)
    else:
        scopes = await all_lists(connection, root.org_id, kind, now=now)
    for start in range(0, len(scopes), AT_A_TIME):
        await insert_children(
            connection,
            NewChildren(
                org_id=root.org_id,
                epoch=root.epoch,
                final_entity=root.entity,
                below=tuple(chain.names),
                root_id=root.run_id,
                entity=root.entity,
                scopes=scopes[start : start + AT_A_TIME],
                window=run_window(kind.entity, mode="full", until=root.started_at, watermark=None),
                page_size=root.page_size,
            ),
        )
    await mark_awaiting_children(connection, root)
    return len(scopes)
