"""After a complete fan-out: which records are gone from PCO that it shows below their parents only.

A record that is missing from one parent's list may have moved to another's, and a tag is listed below many groups; so
it is decided once for the whole fan-out. What was listed below no parent is asked for below those that its row and its
links name. The argument in full: docs/adr/0013-missing-from-every-list.md.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import load_catalog
from pco_catalog.chains import chain_to
from pco_client.client import PcoClient
from pco_store.ledger.answers import forget_answers
from pco_store.ledger.missing_below import (
    find_missing_below,
    former_lists,
    is_complete,
    settle,
    settled_deletions,
)
from pco_store.ledger.runs import RunHandle
from tasks.deletions.absence import Absent, Asking, Checkpoints
from tasks.deletions.from_a_list import Deletions, ManyDeletions, Verdict, are_too_many, told_before
from tasks.lifespan import Resources
from tasks.logs import sync_logger
from tasks.patience import patiently


async def find_deletions_below(
    resources: Resources, client: PcoClient, root: RunHandle, *, many: ManyDeletions
) -> Deletions | None:
    """Mark as deleted what a complete fan-out did not list; what was found out before is only told.

    None: it is not complete, children are dead or cancelled, or somebody else is at it. Safe to repeat. Raises the
    client's errors that are not about one record, and the store's.
    """
    known = await patiently(resources, lambda connection: settled_deletions(connection, root.run_id))
    if known is not None:
        return told_before(known)
    if not await patiently(resources, lambda connection: is_complete(connection, root.run_id)):
        return None
    catalog = load_catalog()
    entity = catalog.entity(root.entity)
    assert root.fan_out is not None, "only a fan-out has children"
    level = chain_to(catalog, entity, root.fan_out.below).levels[-1]
    missing = await patiently(resources, lambda connection: find_missing_below(connection, root, level))
    lists: dict[str, list[list[str]]] = {}
    if missing.ids:
        lists = await patiently(resources, lambda connection: former_lists(connection, root, level, missing.ids))
    paths, then = ({one: [f"{path}/{one}" for path in where[time]] for one, where in lists.items()} for time in (0, 1))
    unplaced = len(missing.ids) - len(paths)
    if unplaced:
        sync_logger().warning(
            "%s: %d records are in no list of this fan-out, and nobody knows below which parents they were; they stay",
            root.key,
            unplaced,
        )
    witnesses = [f"{level.path_of(scope)}/{one}" for scope, one in missing.witnesses]
    asking = Asking(
        client,
        resources.settings,
        api_version=entity.api_version,
        lane=f"{root.org_id}:{entity.name}",
        clock_offset=await resources.clock_offset(),
        witnesses=witnesses or [f"/{entity.product}/v2"],
    )
    verdict: Verdict = "none"
    absent: list[Absent] | None = None
    if paths:
        verdict = _doubt(list(paths), live=missing.live, unread=missing.unread, seen=bool(witnesses), many=many)
        if verdict == "none":
            absent = await asking.find_absent(paths, Checkpoints(resources=resources, run=root), then=then)
            verdict = "not_provable" if absent is None else "confirmed"

    async def write_down(connection: AsyncConnection) -> int | None:
        deleted = await settle(
            connection,
            root,
            level,
            verdict=verdict,
            missing=len(paths),
            unplaced=unplaced,
            absent=[(one.ids, one.at) for one in absent or ()],
        )
        if deleted is not None:
            await forget_answers(connection, root.run_id)
        return deleted

    deleted = await patiently(resources, write_down)
    if deleted is None:
        known = await patiently(resources, lambda connection: settled_deletions(connection, root.run_id))
        return None if known is None else told_before(known)
    return Deletions(verdict=verdict, missing=len(paths), deleted=deleted, requests=asking.requests, unplaced=unplaced)


def _doubt(missing: list[str], *, live: int, unread: int, seen: bool, many: ManyDeletions) -> Verdict:
    """What speaks against asking; `none` if nothing does."""
    if unread:
        return "parents_unread"
    if are_too_many(missing, live=live) and many == "stop":
        return "too_many"
    if not seen and many == "stop":
        return "list_is_empty"
    return "none"
