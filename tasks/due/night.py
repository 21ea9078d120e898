"""Shares a night's budget among the kinds of lists below parents, once for each run of a church."""

from collections.abc import Mapping, Sequence
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import Catalog
from pco_catalog.due_lists import load_due_rules
from pco_store.churches.wall import refuse_removed
from pco_store.clock import database_time
from pco_store.due.budget import kept_aside, read_night
from pco_store.due.choosing import Waiting, share_night, waiting_lists
from pco_store.due.lists import DueKind, due_kind_of, refresh_lists
from pco_store.due.readings import note_earlier, read_before
from pco_store.ledger.run_facts import epoch_facts
from pco_store.ledger.runs import RunHandle, save_parts
from pco_store.mirror.counts import count_live
from pco_store.mirror.tables import mirror_table
from pco_walks.ways import Way
from tasks.lifespan import Resources
from tasks.logs import sync_logger
from tasks.patience import patiently


async def count_parents(connection: AsyncConnection, catalog: Catalog, org_id: str) -> dict[str, int]:
    """How many parents the mirror has, of those between which a cheaper chain is chosen; none of those never read."""
    rules = load_due_rules()
    parents = {way[-1] for one in catalog.entities() for way in rules.of(one).ways}
    counts = {one: await count_live(connection, mirror_table(catalog.entity(one)), org_id) for one in sorted(parents)}
    known = await read_before(connection, org_id, [name for name, count in counts.items() if not count])
    return {name: count for name, count in counts.items() if count or name in known}


async def plan_night(
    resources: Resources, run: RunHandle, below: Sequence[Way], *, budget: int, probes: int
) -> dict[str, int]:
    """The requests of this night for each kind that has lists to be read, by entity.

    What the run has spent already counts, with its `probes`. It is decided once and kept with the run, so that whoever
    continues it reads the same. Raises `LeaseLost`, and `StoreUnavailable` in the end.
    """
    return await patiently(resources, partial(plan_shares, run=run, below=below, budget=budget, probes=probes))


async def plan_shares(
    connection: AsyncConnection, run: RunHandle, below: Sequence[Way], budget: int, probes: int = 0
) -> dict[str, int]:
    """The same, in one transaction. Raises `LeaseLost`."""
    if run.parts is not None:
        kept: Mapping[str, int] = run.parts["due"]
        return dict(kept)
    kinds = await _refreshed(connection, run.org_id, below)
    spent = probes + sum(one.sent for one in await epoch_facts(connection, org_id=run.org_id, epoch=run.epoch))
    aside = kept_aside(budget)
    room = budget - aside - spent
    if room <= 0:
        sync_logger().warning(
            "%s: what is listed at top level took %d requests of the night's %d (%d are kept aside), so no list below "
            "parents is read",
            run.key,
            spent,
            budget,
            aside,
        )
    now = await database_time(connection)
    shares = await share_night(connection, run.org_id, kinds, now=now, budget=room)
    requests = {entity: share.requests for entity, share in shares.items()}
    spare = budget - spent - sum(requests.values())
    await save_parts(connection, run, {"due": requests, "probes": probes, "budget": budget, "spare": spare})
    return requests


async def share_now(connection: AsyncConnection, run: RunHandle, entity: str, planned: int) -> int:
    """What a kind gets of its `planned` requests, as far as what others have cost meanwhile leaves them."""
    night = await read_night(connection, run.org_id, run.epoch)
    if night is None:
        return planned
    return night.share(entity, await epoch_facts(connection, org_id=run.org_id, epoch=run.epoch))


async def look_at_waiting(connection: AsyncConnection, org_id: str, below: Sequence[Way]) -> Waiting:
    """What is due by now and was not read."""
    kinds = await _refreshed(connection, org_id, below)
    return await waiting_lists(connection, org_id, kinds, now=await database_time(connection))


async def _refreshed(connection: AsyncConnection, org_id: str, below: Sequence[Way]) -> list[DueKind]:
    await refuse_removed(connection, org_id)
    kinds = []
    for way in below:
        assert way.chain is not None, "what is read below parents has a chain"
        kind = due_kind_of(way.chain)
        await note_earlier(connection, org_id, way.chain, kind)
        await refresh_lists(connection, org_id, kind)
        kinds.append(kind)
    return kinds
