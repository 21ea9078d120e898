"""Runs that have no life of their own: the kinds that come with a list's pages, each a member of the list's run.

A member has the pages, totals, deletions and verdict of a run, so whatever reads the ledger needs no other way for it.
It has no lease and no writer of its own: who holds the list's run writes its pages, in the same transaction, and it is
running until the list's run completes. One whose include PCO was seen not to keep to is dropped: it has failed.

The members of a fan-out are those of all its lists together. Each of its children has members, too, which hold the
pages; their fan-out, so to speak, is the member of the fan-out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.catalog import Sideload
from pco_store.churches.wall import refuse_removed
from pco_store.ledger.openings import handle_of, sync_key
from pco_store.ledger.runs import RunHandle

DISTRUST_DAYS: Final = 30
"""After that an include that was not kept to is tried again, and so are pages that were too much."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """The run of a kind that comes with a list by its `include`. `dropped` says why it does not count any more."""

    run: RunHandle
    include: str
    dropped: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Traits:
    """What the lists of a church were found to be: records at a time, and includes that are not kept to, by list."""

    page_sizes: Mapping[str, int]
    distrusted: frozenset[tuple[str, str]]

    def page_size(self, entity: str, wanted: int) -> int:
        """How many records of a list to ask for at a time."""
        return min(wanted, self.page_sizes.get(entity, wanted))


async def open_members(
    connection: AsyncConnection, opened: Sequence[tuple[RunHandle, Sequence[Sideload]]]
) -> list[RunHandle]:
    """Open the members of runs that open, in their transaction; the runs, which know them now."""
    pairs = [(run, one) for run, sideloads in opened for one in sideloads]
    if not pairs:
        return [run for run, _ in opened]
    result = await connection.execute(
        text(
            """
            WITH member AS (
                INSERT INTO sync.runs (org_id, entity, scope, epoch, key, turn, state, mode, fence, owner, lease_until,
                    page_size, started_at, read_with, plan)
                SELECT list.org_id, one.entity, '', list.epoch, one.key,
                    (SELECT coalesce(max(turn), 0) + 1 FROM sync.runs AS earlier
                     WHERE earlier.org_id = list.org_id AND earlier.entity = one.entity AND earlier.scope = ''),
                    'running', list.mode, 0, '', 'infinity', list.page_size, list.started_at, list.run_id,
                    jsonb_build_object('include', one.include)
                FROM unnest(CAST(:lists AS bigint[]), CAST(:entities AS text[]), CAST(:keys AS text[]),
                            CAST(:includes AS text[])) AS one(list_id, entity, key, include)
                    JOIN sync.runs AS list ON list.run_id = one.list_id
                RETURNING run_id, read_with)
            UPDATE sync.runs AS list SET members = found.members
            FROM (SELECT read_with, array_agg(run_id) AS members FROM member GROUP BY read_with) AS found
            WHERE list.run_id = found.read_with RETURNING list.run_id, list.members
            """
        ),
        {
            "lists": [run.run_id for run, _ in pairs],
            "entities": [one.entity for _, one in pairs],
            "keys": [sync_key(run.org_id, one.entity, run.epoch) for run, one in pairs],
            "includes": [one.include for _, one in pairs],
        },
    )
    members = {row.run_id: tuple(row.members) for row in result}
    return [replace(run, members=members.get(run.run_id, ())) for run, _ in opened]


async def members_of(connection: AsyncConnection, run: RunHandle) -> list[Member]:
    """The members of a run, as they were opened with it; in the order of their includes."""
    if not run.members:
        return []
    result = await connection.execute(
        text("SELECT * FROM sync.runs WHERE run_id = ANY(CAST(:members AS bigint[])) ORDER BY plan ->> 'include'"),
        {"members": list(run.members)},
    )
    return [Member(run=handle_of(row), include=row.plan["include"], dropped=row.plan.get("dropped")) for row in result]


async def open_child_members(connection: AsyncConnection, child: RunHandle, root: RunHandle) -> list[Member]:
    """The members of a child, one for each of its fan-out's; those that are dropped there are so here. Safe to repeat.

    They are work that nobody has to do, so they are done from the start.
    """
    members = await members_of(connection, root)
    result = await connection.execute(
        text(
            """
            INSERT INTO sync.runs (org_id, entity, scope, epoch, key, state, mode, fence, owner, lease_until, page_size,
                started_at, completed_at, parent_run_id, read_with)
            SELECT child.org_id, one.entity, child.scope, child.epoch, one.key, 'completed', child.mode, 0, '', now(),
                child.page_size, child.started_at, now(), one.member_id, child.run_id
            FROM unnest(CAST(:members AS bigint[]), CAST(:entities AS text[]), CAST(:keys AS text[]))
                    AS one(member_id, entity, key)
                JOIN sync.runs AS child ON child.run_id = :child_id
            ON CONFLICT (key) DO UPDATE SET key = excluded.key RETURNING *
            """
        ),
        {
            "child_id": child.run_id,
            "members": [one.run.run_id for one in members],
            "entities": [one.run.entity for one in members],
            "keys": [
                sync_key(child.org_id, f"{one.run.entity}<{child.entity}", child.epoch, child.scope) for one in members
            ],
        },
    )
    runs = {row.parent_run_id: handle_of(row) for row in result}
    return [replace(one, run=runs[one.run.run_id]) for one in members]


async def page_that_showed(
    connection: AsyncConnection, run: RunHandle, entity: str, scope: str, record_id: str
) -> tuple[RunHandle, int, int, int] | None:
    """Where a record of the list was shown: by the run or a child of it, and the page's part, offset and size."""
    result = await connection.execute(
        text(
            """
            SELECT list.*, page.part AS of_part, page."offset" AS at_offset, page.page_size AS of_size
            FROM sync.pages AS page JOIN sync.runs AS list USING (run_id)
            WHERE (list.run_id = :run_id OR list.parent_run_id = :run_id)
              AND list.entity = :entity AND list.scope = :scope AND page.ids @> ARRAY[CAST(:record_id AS text)]
            ORDER BY page.committed_at DESC LIMIT 1
            """
        ),
        {"run_id": run.run_id, "entity": entity, "scope": scope, "record_id": record_id},
    )
    row = result.one_or_none()
    return None if row is None else (handle_of(row), row.of_part, row.at_offset, row.of_size)


async def drop_member(connection: AsyncConnection, member: RunHandle, sideload: Sideload, reason: str) -> None:
    """From now on the include is not used for this church: neither by this run, nor by those that open after it.

    In a transaction that holds the fence of the list. What comes with the include's own records falls with it. Of a
    child's member it is the fan-out's that is dropped. Safe to repeat.
    """
    await connection.execute(
        text(
            """
            UPDATE sync.runs AS run SET state = 'failed', error = :reason, lease_until = now(),
                plan = run.plan || jsonb_build_object('dropped', CAST(:reason AS text))
            FROM sync.runs AS told
            WHERE told.run_id = :run_id AND run.read_with = told.read_with AND (run.run_id = told.run_id
                OR starts_with(run.plan ->> 'include', (told.plan ->> 'include') || '.'))
            """
        ),
        {"run_id": member.parent_run_id or member.run_id, "reason": reason},
    )
    await distrust(connection, org_id=member.org_id, entity=sideload.owner, include=sideload.include, reason=reason)


async def note_unnamed(connection: AsyncConnection, run: RunHandle, names: Sequence[str]) -> None:
    """A page of a fan-out's child does not name what was included for that: the fan-out is not complete.

    In the transaction of that page, before its child is locked. Safe to repeat.
    """
    reason = f"Planning Center does not name the {' and '.join(names)} of some records"
    await connection.execute(
        text(
            """
            UPDATE sync.runs SET plan = coalesce(plan, '{}') || jsonb_build_object('dropped', CAST(:reason AS text))
            WHERE run_id = :root_id AND plan ->> 'dropped' IS NULL
            """
        ),
        {"reason": reason, "root_id": run.parent_run_id},
    )


async def distrust(connection: AsyncConnection, *, org_id: str, entity: str, include: str, reason: str) -> None:
    """Runs of this list that open in the next `DISTRUST_DAYS` do not use the include."""
    await connection.execute(
        text(
            """
            INSERT INTO sync.list_traits AS traits (org_id, entity, distrusted)
            VALUES (:org_id, :entity, jsonb_build_object(CAST(:include AS text),
                jsonb_build_object('reason', CAST(:reason AS text), 'at', now())))
            ON CONFLICT (org_id, entity) DO UPDATE SET distrusted = traits.distrusted || excluded.distrusted
            """
        ),
        {"org_id": org_id, "entity": entity, "include": include, "reason": reason},
    )


async def note_page_size(connection: AsyncConnection, run: RunHandle, size: int) -> None:
    """Runs of this list that open in the next `DISTRUST_DAYS` ask for no more records at a time.

    Raises `ChurchRemoved`.
    """
    await refuse_removed(connection, run.org_id)
    await connection.execute(
        text(
            """
            INSERT INTO sync.list_traits AS traits (org_id, entity, page_size, page_size_at)
            VALUES (:org_id, :entity, :size, now())
            ON CONFLICT (org_id, entity) DO UPDATE SET page_size_at = excluded.page_size_at,
                page_size = least(excluded.page_size,
                    CASE WHEN traits.page_size_at > now() - make_interval(days => :days) THEN traits.page_size END)
            """
        ),
        {"org_id": run.org_id, "entity": run.entity, "size": size, "days": DISTRUST_DAYS},
    )


async def read_traits(connection: AsyncConnection, org_id: str) -> Traits:
    """What is known of the lists of a church; what is older than a month is forgotten: it gets a chance."""
    result = await connection.execute(
        text(
            """
            SELECT entity,
                CASE WHEN page_size_at > now() - make_interval(days => :days) THEN page_size END AS page_size,
                ARRAY(
                    SELECT one.key FROM jsonb_each(distrusted) AS one
                    WHERE CAST(one.value ->> 'at' AS timestamptz) > now() - make_interval(days => :days)) AS includes
            FROM sync.list_traits WHERE org_id = :org_id
            """
        ),
        {"org_id": org_id, "days": DISTRUST_DAYS},
    )
    rows = result.all()
    return Traits(
        page_sizes={row.entity: row.page_size for row in rows if row.page_size is not None},
        distrusted=frozenset((row.entity, include) for row in rows for include in row.includes),
    )
