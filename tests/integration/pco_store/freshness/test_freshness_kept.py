"""What is kept for `sync.freshness` never shows anything else than the ledger, whatever happens to that in between.

The plain definition is the view as migration 0016 made it, which looks everything up. What comes with owners that are
listed below parents is judged otherwise since migration 0028, and left out here.
"""

import importlib
import json
import os
import random
from typing import Any

import pytest
from sqlalchemy import text

from pco_store.churches.removal import begin_removal, end_removal, remove_rows
from pco_store.database import Database
from pco_store.freshness.keeping import keep_all_facts, keep_facts
from tests.integration.ledger_rows import ORG, LedgerRows, ago

HISTORIES = int(os.environ.get("PCO_SYNC_TEST_HISTORIES", "0")) // 100 or 3
STEPS = 40
LISTS = ("people.Person", "people.Campus", "giving.Donation", "groups.Group")
WITH_OWNERS, WITH = "giving.Designation", "giving.Donation"
BELOW = {"groups.Membership": "groups.Group", "people.WorkflowCardNote": None}
PATH = "/groups/v2/groups/{group_id}/memberships"
DESIGNATIONS = "/giving/v2/donations/{donation_id}/designations"
STATES = ("running", "completed", "completed", "failed", "cancelled", "closed")
VERDICTS = ("none", "confirmed", "too_many", None)


def plain_definition() -> str:
    """The view that keeps nothing, with today's words for lists that are due and today's rule of fan-outs by hand."""
    old = importlib.import_module("pco_store.migrations.versions.0016_freshness").FRESHNESS
    today = importlib.import_module("pco_store.migrations.versions.0025_own_lists")
    assert today.NEWEST_OF_A_FAN_OUT in old
    old = old.replace(today.NEWEST_OF_A_FAN_OUT, today.OF_KINDS_BELOW)
    due = "due || ' of ' || lists || ' lists are due, one since '"
    assert due in old
    made: str = old.replace(due, "'of ' || lists || ' lists one is due since '").replace(
        "CREATE VIEW sync.freshness", "CREATE VIEW sync.plain_freshness"
    )
    return made


@pytest.fixture
async def ledger(database: Database) -> LedgerRows:
    """An empty ledger, with the plain definition beside the view."""
    async with database.transaction() as connection:
        await connection.exec_driver_sql(plain_definition())
    return LedgerRows(database)


async def differing(ledger: LedgerRows) -> list[str]:
    """The rows that only one of the two shows."""
    rows = await ledger.sql(
        "SELECT which, one::text FROM ("
        "(SELECT 'kept' AS which, one FROM (TABLE sync.freshness EXCEPT TABLE sync.plain_freshness) AS one) UNION ALL "
        "(SELECT 'plain', one FROM (TABLE sync.plain_freshness EXCEPT TABLE sync.freshness) AS one)) AS differing "
        "WHERE (one).entity NOT IN (SELECT kind.entity FROM sync.kinds AS kind "
        "JOIN sync.kinds AS owner ON owner.entity = kind.owner WHERE kind.way = 'owner' AND owner.way = 'below')"
    )
    return [" ".join(row) for row in rows]


async def is_kept(ledger: LedgerRows) -> bool:
    return not await ledger.sql("SELECT 1 FROM sync.unkept_churches WHERE org_id = :org")


class History:
    """Things that happen to a ledger, one after the other, by chance."""

    def __init__(self, ledger: LedgerRows, chance: random.Random) -> None:
        self._ledger, self._chance, self._number = ledger, chance, 0

    async def step(self) -> str:
        """One of them; its name."""
        names = [name for name in dir(self) if name.startswith("do_")]
        name = self._chance.choice(names)
        self._number += 1
        await getattr(self, name)()
        return name

    def _at(self) -> object:
        return ago(hours=self._chance.choice((0, 1, 3, 30, 100, 300)))

    async def _some_run(self, condition: str = "true") -> int:
        found = await self._ledger.sql(f"SELECT run_id FROM sync.runs WHERE {condition} ORDER BY run_id")
        return int(self._chance.choice(found)[0]) if found else 0

    async def do_read_a_list(self) -> None:
        chance, epoch = self._chance, f"e{self._chance.randrange(4)}-{self._number}"
        at, state = self._at(), chance.choice(STATES)
        if chance.random() < 0.3:
            owner = await self._ledger.run(WITH, at, state=state, epoch=epoch)  # type: ignore[arg-type]
            await self._ledger.run(
                WITH_OWNERS, at, state=state, epoch=epoch, read_with=owner, plan={"include": "designations"},  # type: ignore[arg-type]
                verdict=chance.choice(VERDICTS),
            )  # fmt: skip
            return
        await self._ledger.run(
            chance.choice(LISTS), at, state=state, mode=chance.choice(("full", "delta")), epoch=epoch,  # type: ignore[arg-type]
            verdict=chance.choice(VERDICTS), window_until=chance.choice((None, ago(hours=2))),
        )  # fmt: skip

    async def do_fan_out(self) -> None:
        chance, epochs = (
            self._chance,
            await self._ledger.sql(
                "SELECT epoch FROM sync.runs WHERE entity = 'groups.Group' AND epoch NOT IN "
                "(SELECT epoch FROM sync.runs WHERE entity = 'groups.Membership' AND scope = '*')"
            ),
        )
        epoch = {"epoch": chance.choice(epochs)[0]} if epochs and chance.random() < 0.7 else {}
        await self._ledger.fan_out(
            "groups.Membership", self._at(), [chance.choice(("groups.Group", "groups.Group", "groups.Event"))],  # type: ignore[arg-type]
            children=" ".join(chance.choices(("completed", "absent", "completed", "dead", "pending"), k=2)),
            mode=chance.choice(("full", "full", "due", "wanted")), state=chance.choice(STATES),
            verdict=chance.choice(VERDICTS), **epoch,
        )  # fmt: skip

    async def do_organization(self) -> None:
        mode = self._chance.choice(("full", "delta", "rest"))
        parts: dict[str, Any] = {"parts": {"due": {}}} if mode == "rest" else {}
        await self._ledger.run("organization", self._at(), mode=mode, state=self._chance.choice(STATES), **parts)  # type: ignore[arg-type]

    async def do_end_a_run(self) -> None:
        await self._ledger.sql(
            "UPDATE sync.runs SET state = :state, error = :error, completed_at = now() WHERE run_id = :run_id",
            state=self._chance.choice(STATES), error=self._chance.choice((None, "it broke")),
            run_id=await self._some_run("turn IS NOT NULL"),
        )  # fmt: skip

    async def do_change_a_child(self) -> None:
        await self._ledger.sql(
            "UPDATE sync.runs SET state = :state, error = :error WHERE run_id = :run_id",
            state=self._chance.choice(("pending", "running", "completed", "absent", "dead", "forbidden", "cancelled")),
            error=self._chance.choice((None, "another")), run_id=await self._some_run("parent_run_id IS NOT NULL"),
        )  # fmt: skip

    async def do_decide_deletions(self) -> None:
        verdict = self._chance.choice(VERDICTS)
        await self._ledger.sql(
            "UPDATE sync.runs SET deletions = CAST(:told AS jsonb) WHERE run_id = :run_id",
            told=json.dumps({"verdict": verdict}), run_id=await self._some_run("turn IS NOT NULL"),
        )  # fmt: skip

    async def do_drop_an_include(self) -> None:
        await self._ledger.sql(
            "UPDATE sync.runs SET plan = coalesce(plan, '{}') || '{\"dropped\": \"x\"}', state = 'failed' "
            "WHERE run_id = :run_id", run_id=await self._some_run("read_with IS NOT NULL"),
        )  # fmt: skip

    async def do_move_a_window(self) -> None:
        await self._ledger.sql(
            "UPDATE sync.runs SET window_until = :until WHERE run_id = :run_id",
            until=self._at(), run_id=await self._some_run("turn IS NOT NULL"),
        )  # fmt: skip

    async def do_look_for_due_lists(self) -> None:
        await self._ledger.sql(
            "UPDATE sync.runs SET parts = CAST(:parts AS jsonb) WHERE run_id = :run_id",
            parts=self._chance.choice(("{}", '{"due": {}}')),
            run_id=await self._some_run("entity = 'organization' AND mode <> 'delta'"),
        )  # fmt: skip

    async def do_quarantine(self) -> None:
        run_id = await self._some_run()
        await self._ledger.sql(
            'INSERT INTO sync.quarantine (org_id, entity, run_id, reading, "offset", reason) '
            "SELECT org_id, entity, run_id, 1, 0, 'x' FROM sync.runs WHERE run_id = :run_id", run_id=run_id,
        )  # fmt: skip

    async def do_resolve(self) -> None:
        await self._ledger.sql(
            "UPDATE sync.quarantine SET resolved_at = now() WHERE quarantine_id IN "
            "(SELECT quarantine_id FROM sync.quarantine ORDER BY random() LIMIT 1)"
        )

    async def do_read_lists(self) -> None:
        for entity, path in (("groups.Membership", PATH), (WITH_OWNERS, DESIGNATIONS)):
            await self._ledger.sql(
                "INSERT INTO sync.lists (org_id, entity, path, scope, last_read_at, due_at, pace_seconds, is_refused) "
                "VALUES (:org, :entity, :path, :scope, :read, :due, 86400, :is_refused) "
                "ON CONFLICT (org_id, path, scope) DO UPDATE SET last_read_at = excluded.last_read_at, "
                "due_at = excluded.due_at, is_refused = excluded.is_refused",
                entity=entity, path=path, scope=str(self._chance.randrange(3)),
                read=self._chance.choice((None, self._at())), due=ago(days=self._chance.randrange(-5, 5)),
                is_refused=self._chance.random() < 0.2,
            )  # fmt: skip

    async def do_forget_a_list(self) -> None:
        await self._ledger.sql("DELETE FROM sync.lists WHERE scope = '1'")

    async def do_distrust(self) -> None:
        await self._ledger.sql(
            "INSERT INTO sync.list_traits VALUES (:org, :entity, NULL, jsonb_build_object('designations', "
            "jsonb_build_object('at', CAST(:at AS timestamptz)))) ON CONFLICT (org_id, entity) DO UPDATE "
            "SET distrusted = excluded.distrusted", entity=WITH, at=ago(days=self._chance.choice((1, 40))),
        )  # fmt: skip

    async def do_set_a_rule(self) -> None:
        chance = self._chance
        await self._ledger.sql(
            "INSERT INTO sync.freshness_rules VALUES (:by, :kinds, CAST(CAST(:within AS text) AS interval), "
            "CAST(CAST(:complete AS text) AS interval), CAST(CAST(:late AS text) AS interval)) "
            "ON CONFLICT (org_id, kinds) DO NOTHING",
            by=chance.choice(("*", self._ledger.org_id, "elsewhere")),
            kinds=chance.choice(("*", "delta", "below", "owner", "people.Person", WITH_OWNERS)),
            within=chance.choice((None, "4 hours")), complete=chance.choice((None, "1 day")),
            late=chance.choice((None, "3 days")),
        )  # fmt: skip

    async def do_move_a_watermark(self) -> None:
        await self._ledger.watermark(self._chance.choice(LISTS), self._at())  # type: ignore[arg-type]

    async def do_remove_a_turn(self) -> None:
        run_id = await self._some_run("turn IS NOT NULL")
        await self._ledger.sql("DELETE FROM sync.runs WHERE run_id = :run_id OR parent_run_id = :run_id", run_id=run_id)

    async def do_keep(self) -> None:
        await keep_all_facts(self._ledger.store)

    do_keep_again = do_keep_often = do_keep


@pytest.mark.parametrize("seed", range(HISTORIES))
async def test_it_shows_what_the_plain_definition_shows_whatever_has_happened(ledger: LedgerRows, seed: int) -> None:
    histories = [
        History(one, random.Random(f"{seed} {one.org_id}")) for one in (ledger, LedgerRows(ledger.store, "hope"))
    ]
    happened: list[str] = []
    for _ in range(STEPS):
        happened += [await one.step() for one in histories]
        found = await differing(ledger)
        assert not found, "\n".join([*happened[-8:], *found])


async def test_what_is_kept_is_used_until_the_church_changes(ledger: LedgerRows) -> None:
    await ledger.run("people.Person", ago(minutes=5))
    await LedgerRows(ledger.store, "hope").run("people.Person", ago(minutes=5))
    assert not await is_kept(ledger)
    assert await keep_all_facts(ledger.store) == 2
    assert await is_kept(ledger)
    assert await keep_all_facts(ledger.store) == 0
    await LedgerRows(ledger.store, "hope").run("people.Person", ago(minutes=1), mode="delta")
    assert await is_kept(ledger), "another church has changed"
    await ledger.sql("UPDATE sync.table_facts SET complete_as_of = '1999-09-09' WHERE entity = 'people.Person'")
    assert len(await differing(ledger)) > 0, "it is what is shown"
    await ledger.run("people.Person", ago(minutes=1), mode="delta")
    assert await differing(ledger) == []


async def test_leases_and_children_of_a_fan_out_that_goes_on_change_nothing(ledger: LedgerRows) -> None:
    root = await ledger.fan_out("groups.Membership", ago(minutes=5), ["groups.Group"], children="pending running",
                                state="running")  # fmt: skip
    await keep_all_facts(ledger.store)
    await ledger.sql("UPDATE sync.runs SET lease_until = now(), fence = fence + 1, attempts = 1")
    await ledger.sql("UPDATE sync.runs SET state = 'completed' WHERE parent_run_id = :root", root=root)
    assert await is_kept(ledger)
    await ledger.sql("UPDATE sync.runs SET state = 'dead', error = 'x' WHERE parent_run_id = :root", root=root)
    assert not await is_kept(ledger)


async def test_a_change_that_is_committed_after_it_was_kept_is_not_lost(ledger: LedgerRows) -> None:
    run = await ledger.run("people.Person", ago(minutes=5), state="running")
    async with ledger.store.transaction() as changing:
        await changing.execute(text("UPDATE sync.runs SET state = 'failed' WHERE run_id = :run"), {"run": run})
        async with ledger.store.transaction() as keeping:
            await keep_facts(keeping, ORG)
        assert await is_kept(ledger)
    assert not await is_kept(ledger)
    assert await differing(ledger) == []


async def test_a_church_that_is_removed_leaves_nothing_kept(ledger: LedgerRows) -> None:
    await ledger.run("people.Person", ago(minutes=5))
    await keep_all_facts(ledger.store)
    await begin_removal(ledger.store, ORG)
    assert await keep_all_facts(ledger.store) == 1, "it has changed, and is not kept any more"
    async for _ in remove_rows(ledger.store, ORG):
        pass
    assert await end_removal(ledger.store, ORG)
    for table in ("table_facts", "kept_churches", "church_changes"):
        assert await ledger.sql(f"SELECT 1 FROM sync.{table}") == []
