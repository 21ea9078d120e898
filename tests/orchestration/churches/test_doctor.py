"""What a doctor found out decides how lists are read from then on, and is kept without a value of a record."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from deployments.app import main
from deployments.churches.doctor import examine_church
from deployments.exit_codes import DONE, FAILED, INCOMPLETE
from flows.sync_organization import sync_organization
from pco_store.errors import ChurchRemoved
from tests.church import Church
from tests.integration.doctors import always, catalog_of, give_one_donation_many
from tests.simulators import SimulatorProcess

PERSON, DONATION, DESIGNATION = "people.Person", "giving.Donation", "giving.Designation"
PEOPLE, DONATIONS = "/people/v2/people", "/giving/v2/donations"
OF_GIVING = (DONATION, DESIGNATION, "giving.DesignationRefund", "giving.Note", "giving.Refund")


@pytest.fixture
def world(church: Church, monkeypatch: pytest.MonkeyPatch) -> Iterator[Church]:
    """A church in a world of its own."""
    with SimulatorProcess(people=120, groups=6) as simulator:
        monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", simulator.base_url)
        give_one_donation_many(simulator)
        yield church.served_by(simulator)


def examine(church: Church, *names: str) -> str:
    """Let a doctor look at these kinds; its report."""
    console = Console(width=80, file=StringIO())
    asyncio.run(examine_church(church.org_id, console, catalog=catalog_of(names)))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def asked(church: Church, path: str) -> list[str]:
    """The queries of a list since the log was emptied, which it is now."""
    queries = [one["query"] for one in church.simulator.access_log() if one["path"] == path]
    church.simulator.reset_log()
    return queries


def test_a_delta_goes_by_the_order_while_the_filter_fails_and_by_the_filter_when_it_holds(world: Church) -> None:
    world.sync()
    world.simulator.faults(always("where-ignored", path=PEOPLE, name="updated_at"))
    assert "so its deltas go by the order" in " ".join(examine(world, PERSON).split())
    world.simulator.reset_log()

    world.sync(mode="delta")
    assert {"order=-updated_at" in one for one in asked(world, PEOPLE)} == {True}
    assert world.differences() == []

    world.simulator.faults([])
    examine(world, PERSON)
    world.simulator.reset_log()
    world.sync(mode="delta")
    assert {"where[updated_at]" in one for one in asked(world, PEOPLE)} == {True}


def test_a_delta_that_nothing_leads_to_reads_everything_as_ever(world: Church) -> None:
    world.sync()
    lies = ("where-ignored", "order-ignored")
    world.simulator.faults([rule for kind in lies for rule in always(kind, path=PEOPLE, name="updated_at")])
    examine(world, PERSON)
    world.simulator.churn([{"operation": "edit", "entity": PERSON, "id": world.rows()[3]["id"], "attributes": {}}])
    world.simulator.reset_log()
    assert world.sync(mode="delta").outcome == "completed"
    assert world.differences() == []
    assert [one for one in asked(world, PEOPLE) if "order=-updated_at" in one] == [], "it is not tried again"


@pytest.mark.parametrize(
    "lie", [{"kind": "where-ignored", "name": "created_at"}, {"kind": "wrong-total"}], ids=lambda one: one["kind"]
)
def test_a_full_walk_asks_for_no_window_that_is_not_kept_to(world: Church, lie: dict[str, Any]) -> None:
    world.simulator.faults([{**lie, "path": PEOPLE, "permanent": True}])
    examine(world, PERSON)
    world.simulator.reset_log()
    world.sync()
    assert {"where" in one for one in asked(world, PEOPLE)} == {False}
    assert world.sql("SELECT window_attribute FROM sync.runs WHERE entity = :one", one=PERSON) == [(None,)]
    assert world.differences() == []

    world.simulator.faults([])
    examine(world, PERSON)
    world.simulator.reset_log()
    world.sync()
    assert True in {"where[created_at]" in one for one in asked(world, PEOPLE)}


def test_what_an_include_cuts_is_not_read_with_its_owners_until_it_is_whole(world: Church) -> None:
    world.simulator.faults(always("include-cut", path=DONATIONS, include="designations", number=4))
    examine(world, *OF_GIVING)
    world.simulator.reset_log()
    summary = world.sync(DONATION)
    assert DESIGNATION not in summary.brought
    assert {"designations," in one for one in asked(world, DONATIONS)} == {False}

    world.simulator.faults([])
    examine(world, *OF_GIVING)
    assert DESIGNATION in world.sync(DONATION).brought


def test_what_a_sync_has_seen_is_not_trusted_again_because_a_sample_agrees(world: Church) -> None:
    world.simulator.faults(always("include-missing", path=DONATIONS, include="designations"))
    assert world.end(DONATION).name == "CompletedWithoutIncluded"
    examine(world, *OF_GIVING)
    world.simulator.faults([])
    examine(world, *OF_GIVING)
    assert DESIGNATION not in world.sync(DONATION).brought


def test_what_could_not_be_seen_changes_nothing(world: Church) -> None:
    world.simulator.faults(always("where-ignored", path=PEOPLE, name="created_at"))
    examine(world, PERSON)
    before = world.sql("SELECT entity, distrusted FROM sync.list_traits")
    world.simulator.faults(always("500", path=PEOPLE))
    examine(world, PERSON)
    assert world.sql("SELECT entity, distrusted FROM sync.list_traits") == before
    verdicts = world.sql("SELECT subject, assumption, verdict FROM sync.assumptions WHERE subject = :one", one=PERSON)
    assert verdicts == [(PERSON, "readable", "unseen")], "the verdicts are those of the last look"


def contents(church: Church) -> dict[str, str]:
    """A digest of every table."""
    tables = church.sql(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    digests = " UNION ALL ".join(
        f"SELECT '{table}', md5(string_agg(one::text, ',' ORDER BY one::text)) FROM {table} AS one"
        for (table,) in tables
    )
    return dict(tuple(row) for row in church.sql(digests.replace("::", "\\:\\:")))


def values_of(church: Church) -> set[str]:
    """Every id, and every text that is nobody else's, of people, donations and groups."""
    found: set[str] = set()
    for entity in (PERSON, "people.Email", "people.Address", DONATION, "groups.Group"):
        for record in church.simulator.state(entity):
            found.add(record["id"])
            found |= {one for one in record["attributes"].values() if isinstance(one, str) and len(one) > 7}
    kinds = {one for one in found if one.isidentifier() and one.islower()}
    return found - kinds


def command(church: Church, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deployments", "doctor", *arguments],
        env={**os.environ, **church.environment(), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_report_of_a_whole_church_fits_80_columns_and_holds_no_value_and_the_mirror_is_as_it_was(
    world: Church,
) -> None:
    world.sync()
    before = contents(world)
    world.simulator.faults(
        [
            *always("403", path="/people/v2/emails"),
            *always("where-ignored", path=PEOPLE, name="created_at"),
            *always("attribute-missing", path=DONATIONS, name="amount_cents"),
            *always("include-cut", path=DONATIONS, include="designations", number=4),
        ]
    )
    world.simulator.reset_log()

    done = command(world, world.org_id, COLUMNS="80")

    assert done.returncode == INCOMPLETE, done.stderr
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert len(world.simulator.access_log()) <= 400
    assert {one["status"] for one in world.simulator.access_log()} <= {200, 403, 404}, "405 is for what is no GET"
    kept = world.sql("SELECT subject, assumption, verdict, seen FROM sync.assumptions")
    assert {(one.subject, one.assumption) for one in kept if one.verdict == "fails"} == {
        ("people.Email", "readable"),
        (PERSON, "where[created_at]"),
        (DONATION, "attributes"),
        (DONATION, "include=designations"),
    }
    traits = world.sql("SELECT entity, distrusted FROM sync.list_traits")
    assert {(one.entity, name) for one in traits for name in one.distrusted} == {
        (PERSON, "where[created_at]"),
        (DONATION, "designations"),
    }
    canaries = values_of(world)
    assert len(canaries) > 500
    for written in (done.stdout, done.stderr, str(kept), str(traits)):
        assert {one for one in canaries if one in written} == set()
    assert world.org_id not in done.stdout
    after = contents(world)
    assert {table for table in after if after[table] != before[table]} == {"sync.assumptions", "sync.list_traits"}


def test_a_program_gets_every_finding_in_a_document(world: Church, capsys: pytest.CaptureFixture[str]) -> None:
    world.simulator.faults(always("include-unknown", path=DONATIONS, include="designations"))
    catalog = catalog_of(OF_GIVING)
    code = asyncio.run(examine_church(world.org_id, Console(stderr=True), as_json=True, catalog=catalog))
    document = json.loads(capsys.readouterr().out)
    assert code == document["exit_code"] == INCOMPLETE
    assert document["requests"] == len(world.simulator.access_log())
    assert sum(document["verdicts"].values()) == len(document["findings"])
    assert document["findings"][0] == {
        "subject": DONATION,
        "assumption": "include=designations",
        "verdict": "fails",
        "seen": "can_include does not name it",
        "so": "these are read below each owner, where PCO lists them so",
    }


@pytest.mark.usefixtures("restored_signals")
def test_a_dead_token_is_an_error_and_nothing_is_kept(
    world: Church, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PCO_SYNC_SECRET", "wrong")
    assert main(["doctor", world.org_id]) == FAILED
    assert "error: PCO does not accept the credential" in " ".join(capsys.readouterr().err.split())
    assert world.sql("SELECT count(*) FROM sync.assumptions") == [(0,)]


def test_all_that_holds_is_done(world: Church) -> None:
    console = Console(width=80, file=StringIO())
    code = asyncio.run(examine_church(world.org_id, console, catalog=catalog_of([PERSON])))
    assert code == DONE


def test_a_church_that_is_removed_has_no_verdicts(world: Church) -> None:
    world.sql("INSERT INTO sync.churches (org_id, removal_began_at) VALUES (:org_id, now())", org_id=world.org_id)
    with pytest.raises(ChurchRemoved):
        examine(world, PERSON)


def test_a_delta_of_the_whole_church_goes_by_the_order_too(world: Church) -> None:
    world.sync()
    world.simulator.faults(always("where-ignored", path=PEOPLE, name="updated_at"))
    examine(world, PERSON)
    world.simulator.reset_log()
    sync_organization(world.org_id, mode="delta", include=[PERSON])
    assert {"order=-updated_at" in one for one in asked(world, PEOPLE)} == {True}
