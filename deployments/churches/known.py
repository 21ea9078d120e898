"""Which churches there are, by whatever knows of them: Prefect's blocks, connections, the environment, the ledger."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from deployments.operations.churches import UnknownChurchError, meant
from deployments.transaction import transaction
from pco_store.churches.names import display_names
from pco_store.churches.wall import removed_churches
from pco_store.connections.connections import connection_states
from pco_store.freshness.reading import read_churches
from pco_store.schema_check import check_schema
from tasks.connections.opening import not_opened
from tasks.credentials import church_blocks
from tasks.settings import read_settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Church:
    """A church as a whole. `connected`: by what it is read; None if by nothing.

    `is_paused`: no schedule syncs it. `complete_as_of`: of the list that was last complete the longest ago; None if one
    never was. `trouble`: what keeps it from being current, in lines.
    """

    org_id: str
    name: str | None
    connected: Literal["token", "oauth", "environment"] | None
    scopes: tuple[str, ...]
    is_paused: bool
    is_being_removed: bool
    freshness: str
    changes_seen_until: datetime | None
    complete_as_of: datetime | None
    trouble: tuple[str, ...]


async def check_known(org_id: str) -> None:
    """Raises `UnknownChurchError`, and what `known_churches` does."""
    known = [one.org_id for one in await known_churches()]
    if org_id not in known:
        raise UnknownChurchError(f"there is no church {org_id!r}; {meant(org_id, known)}")


async def known_churches() -> list[Church]:
    """Every church, by org_id; those that were removed are none. Raises the errors of the store and Prefect's."""
    settings = read_settings()
    blocks = await church_blocks()
    async with transaction() as connection:
        await check_schema(connection)
        read = {one.org_id: one for one in await read_churches(connection)}
        oauth = await connection_states(connection)
        names = await display_names(connection)
        removed = await removed_churches(connection)
    closed = not_opened(oauth, settings)
    own = settings.church_of_token or None
    known = {*blocks, *read, *oauth, *names, *([own] if own else [])} - {one for one in removed if removed[one]}
    churches = []
    for org_id in sorted(known | {one for one in removed if not removed[one]}):
        block, state, fresh = blocks.get(org_id), oauth.get(org_id), read.get(org_id)
        connected: Literal["token", "oauth", "environment"] | None = None
        if org_id == own:
            connected = "environment"
        elif block is not None:
            connected = "oauth" if block.get("oauth") else "token"
        trouble = []
        if org_id in removed:
            trouble.append(f"it is being removed: pco-sync churches remove {org_id} --yes")
        elif connected is None:
            trouble.append(f"it is not connected: pco-sync connect {org_id}")
        if connected == "oauth" and state is None:
            trouble.append(f"its tokens are gone: pco-sync connect {org_id} --oauth")
        elif connected == "oauth" and state is not None and state.dead_because:
            trouble.append(f"it has to be connected again ({state.dead_because}): pco-sync connect {org_id} --oauth")
        elif connected == "oauth" and org_id in closed:
            trouble.append(f"its tokens cannot be opened here: {closed[org_id]}")
        churches.append(
            Church(
                org_id=org_id,
                name=names.get(org_id),
                connected=connected,
                scopes=state.scopes if connected == "oauth" and state is not None else (),
                is_paused=block is not None and not block.get("scheduled", True) and org_id != own,
                is_being_removed=org_id in removed,
                freshness=fresh.freshness if fresh is not None else "never_read",
                changes_seen_until=fresh.changes_seen_until if fresh is not None else None,
                complete_as_of=fresh.complete_as_of if fresh is not None else None,
                trouble=(*trouble, *(fresh.because if fresh is not None else ())),
            )
        )
    return churches
