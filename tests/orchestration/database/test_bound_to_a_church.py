"""Every statement of ours that touches mirrored rows is planned for one church: no plan can ever read another one's."""

import asyncio
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Final

import asyncpg
import greenlet  # type: ignore[import-untyped]
import pytest
from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool

from deployments.app import main
from deployments.exit_codes import DONE
from flows.replay_quarantine import replay_quarantine
from flows.sync_child import sync_child
from flows.sync_organization import sync_organization
from flows.verify_entity import verify_entity
from pco_store.mirror.tables import all_mirror_tables
from tests.church import Church
from tests.migration.old_mirror import plainly
from tests.simulators import SimulatorProcess

pytestmark = pytest.mark.usefixtures("restored_signals")

TABLES: Final = {f"{one.schema}.{one.name}" for one in all_mirror_tables()}
NAMED: Final = re.compile(r'"?(\w+)"?\s*\.\s*"?(\w+)"?')
EQUAL: Final = re.compile(
    r"([\w.$:'\[\]\"]+)\)*(?:::[\w\[\]]+)? (?:=|IS NOT DISTINCT FROM) (?:ANY )?\(*([\w.$:'\[\]\"{}]+)"
)
NEXT_KEY: Final = re.compile(r"ROW\(([\w.]+), [^()]+\) >= ROW\(([\w.$]+), [^()]+\)")
"""The one row from a key on; if that is the first of another church, the upsert throws it away."""
CONDITIONS: Final = (
    "Index Cond",
    "Filter",
    "Recheck Cond",
    "Join Filter",
    "Hash Cond",
    "Merge Cond",
    "One-Time Filter",
)
UNPLANNED: Final = ("ALTER ", "COMMENT ", "CREATE ", "DO ", "DROP ", "GRANT ", "LOCK ")
"""They read no row of a table."""
OF_A_CHURCH: Final = (".org_id", ".ctid")
"""A place of a row is known to a statement that has found the row itself."""
OURS: Final = Path(__file__).parents[3]


def touched(statement: str) -> set[str]:
    """The mirror's tables that it names."""
    return {name for one in NAMED.findall(statement) if (name := ".".join(one)) in TABLES}


def unbound(plan: Mapping[str, Any]) -> set[str]:
    """The mirror's tables of which a plan reads rows whose church is not compared, in the end, with a value.

    It may be compared with the church of another table's row, of which the same holds, or with what a function or a
    subquery has brought.
    """
    scans: dict[str, str] = {}
    equal: list[tuple[str, str]] = []
    for node in _nodes(plan):
        alias, name = node.get("Alias", ""), f"{node.get('Schema')}.{node.get('Relation Name')}"
        if "Relation Name" in node and node["Node Type"] != "ModifyTable":
            scans[alias] = name
        for condition in (str(node[one]).replace('"', "") for one in CONDITIONS if one in node):
            sides = EQUAL.findall(condition)
            sides += NEXT_KEY.findall(condition)
            equal += [(_side(left, alias), _side(right, alias)) for left, right in sides]
    bound = {""}
    while True:
        more = {
            one
            for pair in equal
            for one, other in (pair, pair[::-1])
            if one not in bound
            and (one.endswith(OF_A_CHURCH) or scans.get(one.partition(".")[0]) not in TABLES)
            and (other in bound or other.partition(".")[0] not in scans or _is_bound(other, bound, scans))
        }
        if not more:
            break
        bound |= more
    return {
        name for alias, name in scans.items() if name in TABLES and not {f"{alias}{one}" for one in OF_A_CHURCH} & bound
    }


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for one in plan.get("Plans", ()):
        yield from _nodes(one)


def _side(word: str, alias: str) -> str:
    """`alias.column`, or nothing for a value."""
    if "$" in word or "'" in word or not re.fullmatch(r"[a-z_][\w.]*", word):
        return ""
    return word if "." in word else f"{alias}.{word}"


def _is_bound(column: str, bound: set[str], scans: Mapping[str, str]) -> bool:
    """A table of the ledger is bound by any of its columns: a run is one church's."""
    alias = column.partition(".")[0]
    return scans[alias] not in TABLES and any(one.startswith(f"{alias}.") for one in bound)


def _is_ours(frame: FrameType | None) -> bool:
    """Whether the innermost function of this project on the stack is no test's."""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(OURS) and ".venv" not in path.parts and path != Path(__file__):
            return not path.is_relative_to(OURS / "tests")
        frame = frame.f_back
    return False


@pytest.fixture
def statements() -> Iterator[set[str]]:
    """What our code, and not a test's, sends to Postgres from here on about mirrored rows, from this process.

    What pages are written with goes past SQLAlchemy; only what it has sent is told apart from what tests ask.
    """
    sent: set[str] = set()
    by_sqlalchemy: set[str] = set()

    def hear(_: object, __: object, statement: str, *___: object) -> None:
        by_sqlalchemy.add(statement)
        waiting = greenlet.getcurrent().parent  # who awaits the statement stands on that stack
        if touched(statement) and waiting is not None and _is_ours(waiting.gr_frame):
            sent.add(statement)

    def log(logged: Any) -> None:
        if touched(logged.query) and logged.query not in by_sqlalchemy:
            sent.add(logged.query)

    def listen(connection: object, _: object) -> None:
        driver = getattr(connection, "driver_connection", None)
        assert isinstance(driver, asyncpg.Connection)
        driver.add_query_logger(log)

    event.listen(Engine, "before_cursor_execute", hear)
    event.listen(Pool, "connect", listen)
    yield sent
    event.remove(Engine, "before_cursor_execute", hear)
    event.remove(Pool, "connect", listen)


async def plans(url: str, sent: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Each statement's plan for parameters that are not known."""
    found = {}
    async with plainly(url) as plain:
        await plain.execute("SET plan_cache_mode = force_generic_plan")
        for statement in sorted(one for one in sent if not one.lstrip().startswith(UNPLANNED)):
            await plain.execute(f"PREPARE one AS {statement}")
            count = await plain.fetchval("SELECT cardinality(parameter_types) FROM pg_prepared_statements")
            values = f"({', '.join(['NULL'] * count)})" if count else ""
            told = await plain.fetchval(f"EXPLAIN (FORMAT JSON, VERBOSE) EXECUTE one{values}")
            found[statement] = json.loads(told)[0]["Plan"]
            await plain.execute("DEALLOCATE one")
    return found


async def unbound_of(url: str, sent: Iterable[str]) -> dict[str, set[str]]:
    """The statements that could read another church's rows, and of which tables."""
    return {one: tables for one, plan in (await plans(url, sent)).items() if (tables := unbound(plan))}


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church that changes."""
    with SimulatorProcess(people=120, groups=3) as simulator:
        yield simulator


def test_whatever_is_done_with_a_church_is_planned_for_its_rows_only(
    church: Church, world: SimulatorProcess, statements: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    church = church.served_by(world)
    for name, value in church.environment().items():
        monkeypatch.setenv(name, value)
    some = ["people.Person", "people.FieldDatum", "people.Email", "people.Household", "groups.Group", "giving.Donation"]
    people = [row["id"] for row in world.state("people.Person")]
    world.faults([{"kind": "nul", "record_id": people[0], "permanent": True}])
    sync_organization("grace", include=some)
    world.faults([])
    replay_quarantine("grace")
    world.churn([{"operation": "delete", "entity": "people.Person", "id": one} for one in people[1:3]])
    world.churn([{"operation": "edit", "entity": "people.Person", "id": people[4], "attributes": {"nickname": "x"}}])
    for mode in ("delta", "rest", "lists", "full"):
        sync_organization("grace", mode=mode, include=some)
    sync_child("grace", "groups.Membership", [world.state("groups.Group")[0]["id"]], epoch="again")
    for entity, method in (("people.Person", "full"), ("people.Person", "count"), ("groups.Group", "sample")):
        verify_entity("grace", entity, method=method)
    for words in (
        ["doctor", "grace"], ["plan", "grace"], ["status", "grace"], ["status"], ["churches"], ["views", "grace"],
        ["reproject", "grace"], ["quarantine", "grace"], ["churches", "reader", "grace"],
    ):  # fmt: skip
        main(words)
    removed = set(statements)
    assert main(["churches", "remove", "grace", "--yes"]) == DONE
    removed = statements - removed

    tables = {name for one in statements for name in touched(one)}
    assert {"people.person", "groups.group", "groups.membership", "people.field_datum"} <= tables
    assert any(one.lstrip().startswith("DELETE") for one in removed)
    assert asyncio.run(unbound_of(church.database_url, statements)) == {}


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("SELECT count(*) FROM people.person", {"people.person"}),
        ("SELECT org_id, count(*) FROM people.person GROUP BY org_id", {"people.person"}),
        ("SELECT 1 FROM people.person WHERE org_id = $1", set()),
        ("SELECT 1 FROM people.person WHERE org_id <> $1 AND id = $2", {"people.person"}),
        (
            "SELECT 1 FROM people.person p JOIN people.email e ON e.person_id = p.id WHERE p.org_id = $1",
            {"people.email"},
        ),
        (
            "SELECT 1 FROM people.person p JOIN people.email e USING (org_id) WHERE p.id = $1",
            {"people.person", "people.email"},
        ),
        ("SELECT 1 FROM people.person p JOIN people.email e USING (org_id) WHERE e.org_id = $1", set()),
        ("UPDATE people.person SET _epoch = 'e' WHERE id = $1", {"people.person"}),
        ("DELETE FROM people.person WHERE id = ANY ($1)", {"people.person"}),
        ("SELECT 1 FROM people.person p JOIN sync.runs r USING (org_id) WHERE r.run_id = $1", set()),
        ("SELECT 1 FROM people.person p JOIN sync.runs r USING (org_id)", {"people.person"}),
    ],
)
async def test_a_statement_that_could_read_another_churchs_rows_would_be_seen(
    database_url: str, statement: str, found: set[str]
) -> None:
    assert (await unbound_of(database_url, [statement])).get(statement, set()) == found
