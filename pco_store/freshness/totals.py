"""Counts over all churches: runs in the states that somebody may want to look at, and what is in quarantine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

WATCHED_STATES: Final = ("running", "awaiting", "failed", "dead")


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """`runs`: how many the ledger holds in each of `WATCHED_STATES`, those that failed until retention removes them.

    `quarantined`: records and places that could not be stored and are not resolved.
    """

    runs: Mapping[str, int]
    quarantined: int


async def read_totals(connection: AsyncConnection) -> Totals:
    """As the ledger shows it now. It is read from end to end, so not for each question."""
    found = await connection.execute(
        text("SELECT state, count(*) AS runs FROM sync.runs WHERE state = ANY(:states) GROUP BY state"),
        {"states": list(WATCHED_STATES)},
    )
    runs = {row.state: row.runs for row in found}
    quarantined = await connection.scalar(text("SELECT count(*) FROM sync.quarantine WHERE resolved_at IS NULL"))
    return Totals(runs={state: runs.get(state, 0) for state in WATCHED_STATES}, quarantined=quarantined or 0)
