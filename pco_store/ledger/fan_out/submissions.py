"""Which children become flow runs next: written down before Prefect is asked, so that asking again is safe."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.ledger.fan_out.children import FIRST_PENDING, STOPPED

MOST_BUNDLED: Final = 2
"""So often a child may lose its process in a bundle; then it is read alone, for it may be what ends them."""
LONGEST_ERROR: Final = 2000
DRAWN_BYTES: Final = 4
"""Enough that no child is submitted twice under one key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """Children that one flow run shall work on. `key` is its idempotency key with Prefect: that of the first child.

    After it stand, in characters that no key has: how many there are, the number of the attempt from the second one on,
    and what was drawn for it. It is written down before Prefect is asked, so that it can be asked again; and Prefect
    cannot know it from a fan-out that was restarted, or from a ledger that was replaced by an older copy.
    """

    root_id: int
    key: str
    org_id: str
    entity: str
    epoch: str
    scopes: tuple[str, ...]
    run_ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmittedRun:
    """A flow run that was made for children which have not begun."""

    flow_run_id: str
    run_ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """Whether something is to be done for a fan-out: cheap to ask, so that every child can ask when it ends."""

    under_way: int
    has_pending: bool
    has_expired: bool

    def wants_more(self, most_under_way: int) -> bool:
        """Children wait, and there is room for a good number of them; or a holder fell silent; or all are done."""
        has_room = self.under_way <= most_under_way - max(most_under_way // 4, 1)
        return self.has_expired or (self.has_pending and has_room) or not (self.under_way or self.has_pending)


async def look_at(connection: AsyncConnection, root_id: int) -> Outlook:
    """The outlook of a fan-out, without waiting for anybody."""
    result = await connection.execute(
        text(
            f"""
            SELECT count(*) AS under_way, {FIRST_PENDING} IS NOT NULL AS has_pending,
                   coalesce(bool_or(state = 'running' AND lease_until < now()), false) AS has_expired
            FROM sync.runs WHERE parent_run_id = :root_id AND state IN ('submitted', 'running')
            """  # noqa: S608 - own constants
        ),
        {"root_id": root_id},
    )
    return Outlook(**result.one()._mapping)


async def take_pending(
    connection: AsyncConnection, root_id: int, *, per_run: int, most_under_way: int
) -> list[Submission]:
    """Mark as submitted what may be under way beside what is; nothing while more than three quarters of it are.

    What was never submitted goes first.

    Callers wait for each other, so that together they keep the bound.
    """
    await connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('submit:' || :root_id, 0))"), {"root_id": str(root_id)}
    )
    under_way = await connection.scalar(
        text("SELECT count(*) FROM sync.runs WHERE parent_run_id = :root_id AND state IN ('submitted', 'running')"),
        {"root_id": root_id},
    )
    room = most_under_way - int(under_way or 0)
    if room < max(most_under_way // 4, 1):
        return []
    result = await connection.execute(
        text(
            f"""
            SELECT run_id, org_id, entity, epoch, scope, key, submissions, attempts, error FROM sync.runs AS child
            WHERE parent_run_id = :root_id AND state = 'pending' AND (not_before IS NULL OR not_before <= now())
              AND NOT EXISTS (SELECT FROM sync.runs AS root WHERE root.run_id = :root_id AND root.state IN {STOPPED})
            ORDER BY submissions, run_id LIMIT :room FOR UPDATE OF child SKIP LOCKED
            """  # noqa: S608 - own constants
        ),
        {"root_id": root_id, "room": room},
    )
    submissions = _bundled(root_id, result.all(), per_run, drawn=secrets.token_hex(DRAWN_BYTES))
    await connection.execute(
        text(
            """
            UPDATE sync.runs AS child
            SET state = 'submitted', submission = made.key, submissions = child.submissions + 1, submitted_at = now(),
                flow_run_id = NULL
            FROM unnest(CAST(:run_ids AS bigint[]), CAST(:keys AS text[])) AS made (run_id, key)
            WHERE child.run_id = made.run_id
            """
        ),
        {
            "run_ids": [run_id for one in submissions for run_id in one.run_ids],
            "keys": [one.key for one in submissions for _ in one.run_ids],
        },
    )
    return submissions


async def take_back_expired(connection: AsyncConnection, root_id: int, *, most_attempts: int) -> list[str]:
    """Children whose holder is silent for longer than its lease are pending again; the flow runs that held them.

    One that was begun `most_attempts` times is dead: it may be what ends its processes. What somebody is just writing
    to is not silent.
    """
    result = await connection.execute(
        text(
            """
            UPDATE sync.runs
            SET state = CASE WHEN attempts >= :most_attempts THEN 'dead' ELSE 'pending' END,
                error = CASE WHEN attempts >= :most_attempts THEN 'its process fell silent, ' || attempts || ' times'
                             ELSE error END,
                fence = fence + 1, not_before = NULL
            WHERE run_id IN (SELECT run_id FROM sync.runs
                             WHERE parent_run_id = :root_id AND state = 'running' AND lease_until < now()
                             ORDER BY run_id FOR UPDATE SKIP LOCKED)
            RETURNING flow_run_id
            """
        ),
        {"root_id": root_id, "most_attempts": most_attempts},
    )
    return sorted({flow_run_id for flow_run_id in result.scalars() if flow_run_id})


async def record_flow_runs(connection: AsyncConnection, flow_runs: Sequence[tuple[Submission, str]]) -> None:
    """Remember which flow runs Prefect made; children that have begun meanwhile know it themselves."""
    await connection.execute(
        text(
            """
            UPDATE sync.runs AS child SET flow_run_id = made.flow_run_id
            FROM unnest(CAST(:keys AS text[]), CAST(:flow_run_ids AS text[])) AS made (key, flow_run_id)
            WHERE child.submission = made.key AND child.state = 'submitted' AND child.parent_run_id = :root_id
            """
        ),
        {
            "keys": [submission.key for submission, _ in flow_runs],
            "flow_run_ids": [flow_run_id for _, flow_run_id in flow_runs],
            "root_id": flow_runs[0][0].root_id if flow_runs else 0,
        },
    )


async def unanswered_submissions(
    connection: AsyncConnection, root_id: int, *, older_than_seconds: float
) -> list[Submission]:
    """Submissions whose maker died before it knew that Prefect has them."""
    result = await connection.execute(
        text(
            """
            SELECT run_id, org_id, entity, epoch, scope, submission FROM sync.runs
            WHERE parent_run_id = :root_id AND state = 'submitted' AND flow_run_id IS NULL
              AND submitted_at < now() - make_interval(secs => :seconds)
            ORDER BY submission, run_id
            """
        ),
        {"root_id": root_id, "seconds": older_than_seconds},
    )
    return [
        _submission(root_id, key, list(rows)) for key, rows in groupby(result.all(), key=lambda row: row.submission)
    ]


async def waiting_flow_runs(
    connection: AsyncConnection, root_id: int, *, older_than_seconds: float
) -> list[SubmittedRun]:
    """Flow runs whose children have not begun for so long that one should look whether they still exist."""
    result = await connection.execute(
        text(
            """
            SELECT flow_run_id, array_agg(run_id) AS run_ids FROM sync.runs
            WHERE parent_run_id = :root_id AND state = 'submitted' AND flow_run_id IS NOT NULL
              AND submitted_at < now() - make_interval(secs => :seconds)
            GROUP BY flow_run_id
            """
        ),
        {"root_id": root_id, "seconds": older_than_seconds},
    )
    return [SubmittedRun(flow_run_id=row.flow_run_id, run_ids=tuple(row.run_ids)) for row in result]


async def cancel_submitted(connection: AsyncConnection, root_id: int, flow_run_ids: Sequence[str]) -> None:
    """Children that these flow runs have not begun, and that nobody is to begin: a person has cancelled them."""
    await connection.execute(
        text(
            """
            UPDATE sync.runs SET state = 'cancelled', lease_until = now(), not_before = NULL
            WHERE parent_run_id = :root_id AND state = 'submitted' AND flow_run_id = ANY(CAST(:ids AS text[]))
            """
        ),
        {"root_id": root_id, "ids": list(flow_run_ids)},
    )


async def take_back_submitted(
    connection: AsyncConnection,
    root_id: int,
    vanished: Mapping[str, str],
    *,
    most_restarts: int,
    first_wait_seconds: float,
) -> frozenset[str]:
    """Children whose flow run ended or vanished before they began are pending again; which flow runs those were.

    `vanished` says of each flow run how it ended. The first time may be a worker that died, and costs no wait; from
    then on the waits double, and after `most_restarts` in a row such a child is dead.
    """
    result = await connection.execute(
        text(
            """
            UPDATE sync.runs AS child
            SET state = CASE WHEN restarts + 1 >= :most THEN 'dead' ELSE 'pending' END,
                restarts = restarts + 1, restarted_at = now(), lease_until = now(),
                error = CASE WHEN restarts + 1 >= :most
                             THEN left(restarts + 1 || ' flow runs ended before they began it, the last one: '
                                       || gone.said, :longest)
                             ELSE error END,
                not_before = CASE WHEN restarts > 0
                                  THEN now() + make_interval(secs => :first * power(2, least(restarts, 20) - 1)) END
            FROM unnest(CAST(:flow_run_ids AS text[]), CAST(:said AS text[])) AS gone (flow_run_id, said)
            WHERE child.flow_run_id = gone.flow_run_id AND child.state = 'submitted'
              AND child.parent_run_id = :root_id
            RETURNING child.flow_run_id
            """
        ),
        {
            "flow_run_ids": list(vanished),
            "said": list(vanished.values()),
            "most": most_restarts,
            "first": first_wait_seconds,
            "longest": LONGEST_ERROR,
            "root_id": root_id,
        },
    )
    return frozenset(result.scalars())


def _bundled(root_id: int, rows: Sequence[Row[Any]], per_run: int, *, drawn: str) -> list[Submission]:
    """Bundles of one entity each; a child that failed before, or lost its process too often, gets its own flow run."""
    alone = [row for row in rows if row.error is not None or row.attempts > MOST_BUNDLED]
    together = [row for row in rows if row.error is None and row.attempts <= MOST_BUNDLED]
    bundles = [[row] for row in alone]
    for _, same in groupby(sorted(together, key=lambda row: (row.entity, row.run_id)), key=lambda row: row.entity):
        children = list(same)
        bundles += [children[start : start + per_run] for start in range(0, len(children), per_run)]
    return [_submission(root_id, _key_of(bundle, drawn), bundle) for bundle in bundles]


def _key_of(bundle: Sequence[Row[Any]], drawn: str) -> str:
    first = bundle[0]
    more = f"*{len(bundle)}" if len(bundle) > 1 else ""
    again = f"#{first.submissions + 1}" if first.submissions else ""
    return f"{first.key}{more}{again}~{drawn}"


def _submission(root_id: int, key: str, rows: Sequence[Row[Any]]) -> Submission:
    first = rows[0]
    return Submission(
        root_id=root_id,
        key=key,
        org_id=first.org_id,
        entity=first.entity,
        epoch=first.epoch,
        scopes=tuple(row.scope for row in rows),
        run_ids=tuple(row.run_id for row in rows),
    )
