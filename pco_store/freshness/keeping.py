"""Keeps what freshness is judged by, so that it need not be looked up in the ledger again until something changes.

What is kept is used only as long as the church has not changed since (migration 0024): a church whose facts nobody has
kept in time takes longer to judge, and is judged the same.
"""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.churches.wall import refuse_removed
from pco_store.database import Database
from pco_store.errors import ChurchRemoved

FACTS: Final = (
    "run_state", "run_error", "run_at", "full_run_id", "full_at", "complete_run_id", "complete_as_of", "list_path",
    "lists", "lists_never_read", "lists_refused", "oldest_list_at", "first_due_at", "undecided_at", "fan_out_at",
    "night_at", "watermark", "quarantined",
)  # fmt: skip

_NAMES: Final = ", ".join(FACTS)
_STORED, _NEW = (", ".join(f"{of}.{one}" for one in FACTS) for of in ("facts", "excluded"))

_KEEP: Final = f"""
    WITH fresh AS MATERIALIZED (
        SELECT org_id, entity, {_NAMES} FROM sync.live_facts WHERE org_id = :org_id),
    noticed AS (DELETE FROM sync.church_changes WHERE org_id = :org_id),
    is_gone AS (SELECT NOT EXISTS (SELECT FROM sync.runs WHERE org_id = :org_id) AS is_gone),
    forgotten AS (DELETE FROM sync.kept_churches WHERE org_id = :org_id AND (SELECT is_gone FROM is_gone)),
    gone AS (
        DELETE FROM sync.table_facts WHERE org_id = :org_id AND ((SELECT is_gone FROM is_gone)
            OR (EXISTS (SELECT FROM fresh) AND entity NOT IN (SELECT entity FROM fresh)))),
    written AS (
        INSERT INTO sync.table_facts AS facts (org_id, entity, {_NAMES}) SELECT * FROM fresh
        ON CONFLICT (org_id, entity) DO UPDATE SET ({_NAMES}) = ({_NEW})
        WHERE ({_STORED}) IS DISTINCT FROM
              ({_NEW}))
    INSERT INTO sync.kept_churches (org_id, kept_at) SELECT :org_id, now() WHERE EXISTS (SELECT FROM fresh)
    ON CONFLICT (org_id) DO UPDATE SET kept_at = excluded.kept_at
"""  # noqa: S608 - own names
"""One statement, so one moment: the changes that it takes away are those that it has seen."""


async def keep_facts(connection: AsyncConnection, org_id: str) -> None:
    """Keep what the ledger shows of a church now. Safe to repeat; it costs little if nothing has changed.

    Two who do so take turns until their transactions end: the later one looks after the earlier one. Raises
    `ChurchRemoved`.
    """
    await refuse_removed(connection, org_id)
    await connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('freshness:' || :org_id, 0))"), {"org_id": org_id}
    )
    await connection.execute(text(_KEEP), {"org_id": org_id})


async def keep_all_facts(database: Database) -> int:
    """Keep those of every church that has changed, each in a transaction of its own; how many that were."""
    async with database.transaction() as connection:
        changed = (
            await connection.scalars(
                text("SELECT org_id FROM sync.church_changes UNION SELECT org_id FROM sync.unkept_churches ORDER BY 1")
            )
        ).all()
    for org_id in changed:
        async with database.transaction() as connection:
            try:
                await keep_facts(connection, org_id)
            except ChurchRemoved:
                continue
    return len(changed)
