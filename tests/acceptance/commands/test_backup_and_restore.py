"""The backup of the operations page, line by line as printed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.services import MIRROR_DATABASE
from pco_store.migrate import migrate
from tests.acceptance.commands.documented import blocks, in_a_shell
from tests.acceptance.warm_workers import ROOT
from tests.stack import Stack

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
BEFORE = "pco_before"


@pytest.fixture
def mirror(stack: Stack) -> Iterator[Stack]:
    """The embedded database with our tables."""
    stack.postgres.create_database(MIRROR_DATABASE)
    asyncio.run(migrate(stack.postgres.url(MIRROR_DATABASE)))
    yield stack
    for name in (MIRROR_DATABASE, BEFORE):
        stack.postgres.psql("postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def rows(stack: Stack, database: str) -> str:
    return stack.postgres.psql(database, "SELECT string_agg(display_name, ' ' ORDER BY org_id) FROM sync.churches")


def test_a_backup_is_taken_and_restored_as_printed(mirror: Stack, tmp_path: Path) -> None:
    backup, restore = (one for one in blocks(PAGE, "bash") if "pg_dump" in one or "pg_restore" in one)
    add = "INSERT INTO sync.churches (org_id, display_name) VALUES ('{0}', '{0}')"
    mirror.postgres.psql(MIRROR_DATABASE, add.format("before"))
    dump = str(tmp_path / "pco.dump")
    done = in_a_shell(backup.replace("pco.dump", dump), PCO_SYNC_HOME=str(mirror.home))
    assert (done.returncode, done.stderr) == (0, "")
    mirror.postgres.psql(MIRROR_DATABASE, add.format("later"))
    printed, _, ours = restore.replace("pco.dump", dump).partition("make migrate")
    assert "make worker" in ours
    done = in_a_shell(printed, PCO_SYNC_HOME=str(mirror.home))
    assert (done.returncode, done.stderr) == (0, "")
    assert (rows(mirror, MIRROR_DATABASE), rows(mirror, BEFORE)) == ("before", "before later")


def test_a_backup_that_cannot_be_read_replaces_nothing(mirror: Stack, tmp_path: Path) -> None:
    (restore,) = (one for one in blocks(PAGE, "bash") if "pg_restore" in one)
    broken = tmp_path / "broken.dump"
    broken.touch()
    printed, *_ = restore.replace("pco.dump", str(broken)).partition("make migrate")
    mirror.postgres.psql(MIRROR_DATABASE, "INSERT INTO sync.churches (org_id, display_name) VALUES ('a', 'a')")
    done = in_a_shell(printed, PCO_SYNC_HOME=str(mirror.home))
    assert done.returncode != 0
    assert rows(mirror, MIRROR_DATABASE) == "a"
    mirror.postgres.psql("postgres", "DROP DATABASE pco_restored")
