"""Keeps the verdicts of a church, and what follows from them for the lists that are read from now on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_store.churches.wall import refuse_removed
from pco_store.ledger.members import DISTRUST_DAYS

DOCTOR_LOCK: Final = "hashtextextended('doctor:' || :org_id, 0)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """One verdict. `trait` is how `sync.list_traits` calls what the subject's list is not trusted with if it fails."""

    subject: str
    assumption: str
    verdict: str
    seen: str
    trait: str | None = None


async def keep_verdicts(connection: AsyncConnection, org_id: str, verdicts: Sequence[Kept]) -> None:
    """Instead of the verdicts that were kept before. Safe to repeat. Raises `ChurchRemoved`.

    A list is not trusted with what fails, and trusted again with what holds, as far as it was a doctor that distrusted
    it: what a sync has seen is stronger than a sample that agrees. What could not be seen changes nothing.
    """
    await refuse_removed(connection, org_id)
    await connection.execute(text(f"SELECT pg_advisory_xact_lock({DOCTOR_LOCK})"), {"org_id": org_id})
    await connection.execute(text("DELETE FROM sync.assumptions WHERE org_id = :org_id"), {"org_id": org_id})
    told = {
        "org_id": org_id,
        "subjects": [one.subject for one in verdicts],
        "assumptions": [one.assumption for one in verdicts],
        "verdicts": [one.verdict for one in verdicts],
        "seen": [one.seen for one in verdicts],
    }
    await connection.execute(
        text(
            """
            INSERT INTO sync.assumptions (org_id, subject, assumption, verdict, seen)
            SELECT :org_id, one.* FROM unnest(CAST(:subjects AS text[]), CAST(:assumptions AS text[]),
                                              CAST(:verdicts AS text[]), CAST(:seen AS text[])) AS one
            """
        ),
        told,
    )
    await _trust_again(connection, org_id, [one for one in verdicts if one.verdict == "holds" and one.trait])
    await _distrust(connection, org_id, [one for one in verdicts if one.verdict == "fails" and one.trait])


async def _trust_again(connection: AsyncConnection, org_id: str, held: Sequence[Kept]) -> None:
    await connection.execute(
        text(
            """
            UPDATE sync.list_traits AS traits SET distrusted = traits.distrusted - ARRAY(
                SELECT trait FROM unnest(told.traits) AS trait WHERE traits.distrusted -> trait ->> 'by' = 'doctor')
            FROM (SELECT entity, array_agg(trait) AS traits
                  FROM unnest(CAST(:entities AS text[]), CAST(:traits AS text[])) AS one(entity, trait)
                  GROUP BY entity) AS told
            WHERE traits.org_id = :org_id AND traits.entity = told.entity
            """
        ),
        {"org_id": org_id, "entities": [one.subject for one in held], "traits": [one.trait for one in held]},
    )


async def _distrust(connection: AsyncConnection, org_id: str, failed: Sequence[Kept]) -> None:
    await connection.execute(
        text(
            """
            INSERT INTO sync.list_traits AS traits (org_id, entity, distrusted)
            SELECT :org_id, entity, jsonb_object_agg(trait,
                       jsonb_build_object('reason', reason, 'at', now(), 'by', 'doctor'))
            FROM unnest(CAST(:entities AS text[]), CAST(:traits AS text[]), CAST(:reasons AS text[]))
                     AS one(entity, trait, reason)
            GROUP BY entity ORDER BY entity
            ON CONFLICT (org_id, entity) DO UPDATE SET distrusted = traits.distrusted || (
                SELECT coalesce(jsonb_object_agg(one.key, one.value), '{}') FROM jsonb_each(excluded.distrusted) AS one
                WHERE coalesce(traits.distrusted -> one.key ->> 'by' = 'doctor', NOT traits.distrusted ? one.key)
                   OR CAST(traits.distrusted -> one.key ->> 'at' AS timestamptz) < now() - make_interval(days => :days))
            """
        ),
        {
            "org_id": org_id,
            "entities": [one.subject for one in failed],
            "traits": [one.trait for one in failed],
            "reasons": [one.seen for one in failed],
            "days": DISTRUST_DAYS,
        },
    )
