"""What the ledger of a large church weighs after a year: rows as real syncs leave them, as often as they are kept."""

from typing import Final

import pytest
from sqlmodel import SQLModel

from flows.sync_child import sync_child
from flows.sync_organization import sync_organization
from pco_store.retention.lifetimes import Lifetimes
from tests.church import Church

DAYS: Final = Lifetimes().turns.days + 1
LISTS: Final = 47
"""Of a church's delta."""
DELTAS: Final = 96 * DAYS
BELOW: Final = 6000 * DAYS
"""Lists below parents: each night's budget, as if each took one request."""
WEEKS: Final = DAYS // 7 + 2
PAGES_A_WEEK: Final = 10_000
"""Of the lists at top level: a million records."""
DUE_LISTS: Final = 250_000
"""Below parents, if the rare kinds are read, too: several for each of 20,000 people."""
LINKS: Final = 300_000
MOST_BYTES: Final = 1_500_000_000

OWN: Final = ("run_id", "token", "key", "epoch", "turn")


def columns(table: str) -> str:
    return ", ".join(
        f'one."{column.name}"' for column in SQLModel.metadata.tables[table].columns if column.name not in OWN
    )


def repeat(church: Church, template: int, times: int) -> None:
    """A run with its pages, so many times more; a child is one of the same fan-out."""
    names = columns("sync.runs").replace("one.", "")
    church.sql(
        f"INSERT INTO sync.runs (key, epoch, turn, {names}) "
        f"SELECT key || ':' || n, epoch || ':' || n, turn + CAST(:newest AS int) + n, {columns('sync.runs')} "
        "FROM sync.runs AS one, generate_series(1, :times) AS n WHERE run_id = :template",
        template=template,
        times=times,
        newest=church.sql("SELECT coalesce(max(turn), 0) FROM sync.runs")[0][0],
    )
    names = columns("sync.pages").replace("one.", "")
    church.sql(
        f"INSERT INTO sync.pages (run_id, {names}) SELECT run.run_id, {columns('sync.pages')} "
        "FROM sync.pages AS one JOIN sync.runs AS first USING (run_id) "
        "JOIN sync.runs AS run ON run.key LIKE first.key || ':%' AND run.run_id > first.run_id "
        "WHERE one.run_id = :template",
        template=template,
    )


@pytest.mark.nightly
def test_a_year_of_a_large_church_weighs_less_than_one_and_a_half_gigabytes(church: Church) -> None:
    for mode in ("full", "delta"):
        sync_organization("grace", include=["people.Email", "groups.Group"], mode=mode)
    sync_child("grace", "groups.Membership", parents=[str(church.simulator.state("groups.Group")[0]["id"])], epoch="e")
    newest = {(one.entity, one.mode): one.run_id for one in church.sql("SELECT * FROM sync.runs ORDER BY run_id")}
    repeat(church, newest["people.Email", "delta"], LISTS * DELTAS)
    repeat(church, newest["organization", "delta"], DELTAS)
    repeat(church, newest["groups.Membership", "full"], BELOW)
    repeat(church, newest["people.Email", "full"], WEEKS * PAGES_A_WEEK // 2)
    church.sql(
        "INSERT INTO sync.lists (org_id, entity, path, scope, last_read_at, due_at, pace_seconds, parent_seen) "
        "SELECT 'grace', 'people.ConnectedPerson', 'people/v2/people/{people}/connected_people', 100000000 + n, now(), "
        "now(), 1209600, n FROM generate_series(1, :lists) AS n",
        lists=DUE_LISTS,
    )
    church.sql(
        "INSERT INTO sync.links (org_id, entity, parent, list, scope, id, seen_at) "
        "SELECT 'grace', 'groups.Tag', 'group', 'tags', 100000000 + n, 200000000 + n % 500, now() "
        "FROM generate_series(1, :links) AS n",
        links=LINKS,
    )
    sizes = church.sql(
        "SELECT relname, pg_total_relation_size(c.oid) AS bytes FROM pg_class AS c "
        "JOIN pg_namespace AS n ON n.oid = relnamespace WHERE nspname = 'sync' AND relkind = 'r' ORDER BY 2 DESC"
    )
    total = sum(int(one.bytes) for one in sizes)
    assert total <= MOST_BYTES, [tuple(one) for one in sizes]
    print({one.relname: int(one.bytes) // 1_000_000 for one in sizes if one.bytes > 1_000_000}, total)  # noqa: T201 - with -s
