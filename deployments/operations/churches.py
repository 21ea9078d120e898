"""Whether a church that was typed is one of those that are mirrored."""

import difflib
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.ledger.proving.comparable import find_comparable, known_churches

MOST_SHOWN: Final = 10


class UnknownChurchError(Exception):
    """Nothing of this church was ever read here; the message names those that may be meant."""


async def check_church(connection: AsyncConnection, org_id: str) -> None:
    """Raises `UnknownChurchError` if the mirror holds others only; an empty mirror knows no better."""
    churches = await known_churches(connection)
    if churches and org_id not in churches and (await find_comparable(connection, org_id)).is_empty:
        raise UnknownChurchError(f"nothing of {org_id!r} was ever synced here; {meant(org_id, churches)}")


def meant(org_id: str, churches: list[str]) -> str:
    """Which ones may be meant, or which there are."""
    close = difflib.get_close_matches(org_id, churches, n=3)
    if close:
        return f"did you mean {', '.join(close)}?"
    if not churches:
        return "no church was synced yet"
    more = f" and {len(churches) - MOST_SHOWN} more" if len(churches) > MOST_SHOWN else ""
    return f"known churches: {', '.join(churches[:MOST_SHOWN])}{more}"
