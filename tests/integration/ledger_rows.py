"""Rows of the ledger, written by hand: what syncs of long ago, or of a moment ago, have left there."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from pco_store.database import Database

ORG = "grace"


def ago(**parts: float) -> datetime:
    """So long before now."""
    return datetime.now(UTC) - timedelta(**parts)


@dataclass
class LedgerRows:
    """Writes runs as syncs leave them: complete ones, unless it is said otherwise."""

    store: Database
    org_id: str = ORG

    async def sql(self, statement: str, **values: Any) -> Any:
        async with self.store.transaction() as connection:
            result = await connection.execute(text(statement), {"org": self.org_id, **values})
            return result.all() if result.returns_rows else []

    async def run(self, entity: str, at: datetime, **told: Any) -> int:
        """A run that began then; its number."""
        mode, scope, state = told.pop("mode", "full"), told.pop("scope", ""), told.pop("state", "completed")
        verdict = told.pop("verdict", "none")
        turn = await self._next_turn(entity, scope) if told.get("parent_run_id") is None else None
        epoch = told.pop("epoch", f"turn-{turn}")
        family = "sync-children" if scope else "sync-entity"
        middle = f"{scope}:" if scope else ""
        values = {
            "entity": entity,
            "scope": scope,
            "mode": mode,
            "state": state,
            "turn": turn,
            "epoch": epoch,
            "key": f"{family}:{self.org_id}:{entity}:{middle}{epoch}",
            "at": at,
            "ended": at if state == "completed" else None,
            "lease": "infinity" if told.get("read_with") and state == "running" else at,
            "deletions": json.dumps({"verdict": verdict, "missing": 0, "deleted": 0}) if verdict else None,
            **dict.fromkeys(("error", "parent_run_id", "read_with", "window_until")),
            **dict.fromkeys(("fan_out", "plan", "parts")),
            **{name: json.dumps(one) if isinstance(one, dict) else one for name, one in told.items()},
        }
        ((run_id,),) = await self.sql(
            """
            INSERT INTO sync.runs (org_id, entity, scope, epoch, key, turn, state, mode, fence, owner, lease_until,
                page_size, started_at, completed_at, error, parent_run_id, read_with, window_until, fan_out, plan,
                parts, deletions)
            VALUES (:org, :entity, :scope, :epoch, :key, :turn, :state, :mode, 1, 'somebody',
                CAST(CAST(:lease AS text) AS timestamptz), 100, :at, :ended, :error, :parent_run_id, :read_with,
                :window_until, CAST(:fan_out AS jsonb), CAST(:plan AS jsonb), CAST(:parts AS jsonb),
                CAST(:deletions AS jsonb))
            RETURNING run_id
            """,
            **{**values, "lease": str(values["lease"])},
        )
        if state == "completed" and turn is not None and scope == "" and told.get("read_with") is None:
            await self.watermark(entity, at)
        return int(run_id)

    async def fan_out(self, entity: str, at: datetime, below: list[str], *, children: str = "", **told: Any) -> int:
        """A fan-out, and its children in these states, with blanks between them."""
        plan = {"below": below, "groups_per_run": 1, "most_under_way": 10, "many_deletions": "stop"}
        root = await self.run(entity, at, scope="*", fan_out=plan, **told)
        for number, state in enumerate(children.split()):
            await self.run(
                entity, at, scope=f"{number + 1}", parent_run_id=root, state=state, verdict=None, epoch=f"of-{root}",
                error="it broke" if state in ("dead", "forbidden") else None,
            )  # fmt: skip
        return root

    async def watermark(self, entity: str, at: datetime) -> None:
        await self.sql(
            "INSERT INTO sync.watermarks VALUES (:org, :entity, '', :at, 1) "
            "ON CONFLICT (org_id, entity, scope) DO UPDATE SET watermark = excluded.watermark",
            entity=entity,
            at=at,
        )

    async def page(self, run_id: int, *ids: str, at: datetime | None = None) -> None:
        await self.sql(
            """
            INSERT INTO sync.pages (run_id, reading, "offset", page_size, rows, new, changed, unchanged, stale, misfits,
                quarantined, requests, waited_seconds, ids, digest, fence, committed_at)
            SELECT :run_id, 1, count(*) * 100, 100, 1, 0, 0, 1, 0, 0, 0, 1, 0, CAST(:ids AS text[]), '', 1,
                coalesce(CAST(:at AS timestamptz), now())
            FROM sync.pages WHERE run_id = :run_id
            """,
            run_id=run_id,
            ids=list(ids),
            at=at,
        )

    async def quarantine(self, entity: str, run_id: int, *, resolved: datetime | None = None) -> None:
        await self.sql(
            'INSERT INTO sync.quarantine (org_id, entity, run_id, reading, "offset", reason, resolved_at) '
            "VALUES (:org, :entity, :run_id, 1, 0, 'it does not fit', :resolved)",
            entity=entity,
            run_id=run_id,
            resolved=resolved,
        )

    async def list(self, entity: str, scope: str, *, path: str, read: datetime | None, due: datetime) -> None:
        await self.sql(
            "INSERT INTO sync.lists (org_id, entity, path, scope, last_read_at, due_at, pace_seconds) "
            "VALUES (:org, :entity, :path, :scope, :read, :due, 86400)",
            entity=entity,
            path=path,
            scope=scope,
            read=read,
            due=due,
        )

    async def _next_turn(self, entity: str, scope: str) -> int:
        ((turn,),) = await self.sql(
            "SELECT coalesce(max(turn), 0) + 1 FROM sync.runs WHERE (org_id, entity, scope) = (:org, :entity, :scope)",
            entity=entity,
            scope=scope,
        )
        return int(turn)
