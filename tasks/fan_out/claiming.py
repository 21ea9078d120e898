"""Claims children for one flow run; those that a person runs before their fan-out, or without one, are written down."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import load_catalog
from pco_catalog.chains import chain_to
from pco_store.churches.wall import refuse_removed
from pco_store.ledger.fan_out.children import (
    Claim,
    NewChildren,
    child_key,
    claim_children,
    insert_children,
    reopen_for_children,
)
from pco_store.ledger.fan_out.fan_outs import find_fan_out
from pco_store.ledger.openings import FAN_OUT_SCOPE, sync_key
from pco_store.ledger.runs import RunHandle
from tasks.flow_run import current_flow_run_id, owner
from tasks.lifespan import Resources
from tasks.patience import patiently
from tasks.runs.opening import run_window


async def claim(
    resources: Resources, org_id: str, entity: str, parents: Sequence[str], epoch: str, final_entity: str
) -> tuple[RunHandle | None, Claim]:
    """The fan-out, if there is one, and what the claim got.

    Raises `ValueError` for parents that cannot be those of the entity, `ChurchRemoved`, and `StoreUnavailable` in the
    end.
    """

    async def in_transaction(connection: AsyncConnection) -> tuple[RunHandle | None, Claim]:
        await refuse_removed(connection, org_id)
        root = await find_fan_out(connection, sync_key(org_id, final_entity, epoch, FAN_OUT_SCOPE))
        new = _children(root, org_id, entity, parents, epoch, final_entity, resources.settings.page_size)
        inserted = await insert_children(connection, new)
        if inserted and root is not None:
            await reopen_for_children(connection, root.run_id)
        claimed = await claim_children(
            connection,
            [child_key(org_id, entity, epoch, scope, final_entity=final_entity) for scope in parents],
            owner=owner(),
            flow_run_id=current_flow_run_id(),
            lease_seconds=resources.settings.lease_seconds,
        )
        return root, claimed

    return await patiently(resources, in_transaction)


def _children(
    root: RunHandle | None,
    org_id: str,
    entity: str,
    parents: Sequence[str],
    epoch: str,
    final_entity: str,
    page_size: int,
) -> NewChildren:
    """The children as they are inserted if they are run by hand before their fan-out, or without one."""
    if root is None and entity != final_entity:
        raise ValueError(f"fan_out: there is no fan-out of {final_entity} in epoch {epoch}, so nothing would follow")
    below = root.fan_out.below if root is not None and root.fan_out is not None else None
    catalog = load_catalog()
    chain = chain_to(catalog, catalog.entity(final_entity), below)
    level = chain.level_of(entity)
    wrong = [scope for scope in parents if scope.count("/") + 1 != level.depth]
    if wrong:
        raise ValueError(f"parents: {wrong[0]!r} has {wrong[0].count('/') + 1} ids, {level.path} takes {level.depth}")
    until = root.started_at if root is not None else datetime.now(UTC)
    return NewChildren(
        org_id=org_id,
        epoch=epoch,
        final_entity=final_entity,
        below=tuple(chain.names),
        root_id=root.run_id if root is not None else None,
        entity=entity,
        scopes=tuple(parents),
        window=run_window(level.entity, mode="full", until=until, watermark=None),
        page_size=page_size,
    )
