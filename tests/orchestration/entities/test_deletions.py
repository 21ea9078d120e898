"""What a complete walk did not show is marked as deleted, once PCO has said twice that it is gone, and not before."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.church import Church
from tests.simulators import SimulatorProcess

PEOPLE = 120
LISTED = 2
"""Requests for the list of all of them, or of nearly all."""


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church that a test may change."""
    with SimulatorProcess(people=PEOPLE, groups=0) as simulator:
        yield simulator


@pytest.fixture
def mirrored(church: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Church:
    """The church, once mirrored in full."""
    monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
    moving = church.served_by(world)
    assert moving.sync().deleted == 0
    world.reset_log()
    return moving


def ids_of(world: SimulatorProcess) -> list[str]:
    return [str(one["id"]) for one in world.state("people.Person")]


def delete(world: SimulatorProcess, ids: list[str], **when: Any) -> None:
    world.churn([{"operation": "delete", "entity": "people.Person", "id": one, **when} for one in ids])


def restore(world: SimulatorProcess, one: str, **when: Any) -> None:
    world.churn([{"operation": "restore", "entity": "people.Person", "id": one, **when}])


def buried(church: Church) -> dict[str, str]:
    """Who has a tombstone, and why."""
    return {row["id"]: row["_deleted_reason"] for row in church.rows() if row["_deleted_at"] is not None}


def of_people(world: SimulatorProcess) -> list[str]:
    """The requests for people, and not for what belongs to one of them."""
    paths = [one["path"] for one in world.access_log()]
    return [one for one in paths if re.fullmatch(r"/people/v2/people(/\d+)?", one)]


def test_who_is_gone_gets_a_tombstone_and_who_comes_back_loses_it(mirrored: Church, world: SimulatorProcess) -> None:
    gone = ids_of(world)[3:50:20]
    delete(world, gone)

    assert mirrored.sync(mode="delta").missing == 0, "a delta sees no deletions"
    assert buried(mirrored) == {}
    world.reset_log()
    summary = mirrored.sync()

    assert (summary.missing, summary.deleted) == (len(gone), len(gone))
    assert buried(mirrored) == dict.fromkeys(gone, "absent")
    assert mirrored.differences() == []
    assert summary.requests == len(world.access_log())
    assert len(of_people(world)) == LISTED + 2 * len(gone) + 3
    restore(world, gone[0])
    assert mirrored.sync().deleted == 0, "what has its tombstone is not missing"
    assert sorted(buried(mirrored)) == gone[1:]
    assert mirrored.differences() == []


@pytest.mark.parametrize("after_asking", [0, 1])
def test_who_is_shown_when_asked_for_is_not_deleted(
    mirrored: Church, world: SimulatorProcess, after_asking: int
) -> None:
    """The list left somebody out: at the first look, or at the second, PCO shows the record."""
    (hidden,) = ids_of(world)[:1]
    delete(world, [hidden])
    witness_and_asking = 1 + 2 * after_asking
    restore(world, hidden, after_request=LISTED + witness_and_asking)

    summary = mirrored.sync()

    assert (summary.missing, summary.deleted) == (1, 0)
    assert mirrored.differences() == []


def test_who_may_not_be_seen_is_not_deleted(mirrored: Church, world: SimulatorProcess) -> None:
    hidden, gone = ids_of(world)[:2]
    delete(world, [hidden, gone])
    world.faults([{"kind": "403", "path": f"/people/v2/people/{hidden}", "permanent": True}])

    summary = mirrored.sync()

    assert (summary.missing, summary.deleted) == (2, 1)
    assert buried(mirrored) == {gone: "absent"}


def test_nobody_is_deleted_while_nobody_known_is_shown(mirrored: Church, world: SimulatorProcess) -> None:
    everybody = ids_of(world)
    delete(world, everybody[:1])
    world.faults([{"kind": "404", "path": f"/people/v2/people/{one}", "permanent": True} for one in everybody])

    ended = mirrored.end()

    assert ended.name == "CompletedWithMissing"
    assert "1 record is missing" in str(ended.message)
    assert "PCO does not show any record of this list" in str(ended.message)
    assert buried(mirrored) == {}


def test_many_that_are_missing_at_once_are_left_until_somebody_says_so(
    mirrored: Church, world: SimulatorProcess
) -> None:
    gone = ids_of(world)[:51]
    delete(world, gone)

    ended = mirrored.end(epoch="monday")

    assert ended.name == "CompletedWithMissing"
    assert "51 records are missing" in str(ended.message)
    assert "many_deletions 'accept'" in str(ended.message)
    assert buried(mirrored) == {}
    joined = mirrored.end(epoch="monday")
    assert joined.name == "CompletedWithMissing", "whoever joins it is told, too"
    assert "51 records are missing" in str(joined.message)
    assert mirrored.sync(many_deletions="accept").deleted == 51
    assert mirrored.differences() == []
    assert mirrored.end(epoch="monday").name == "AlreadyCompleted", "a later turn has settled it"


def test_a_list_that_became_empty_is_believed_only_when_somebody_says_so(
    church: Church, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SimulatorProcess(people=5, groups=0) as small:
        monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", small.base_url)
        emptied = church.served_by(small)
        emptied.sync()
        delete(small, ids_of(small))

        ended = emptied.end()

        assert ended.name == "CompletedWithMissing"
        assert "the list is empty" in str(ended.message)
        assert buried(emptied) == {}
        small.reset_log()
        assert emptied.sync(many_deletions="accept").deleted == 5
        assert "/people/v2" in {one["path"] for one in small.access_log()}, "the product was the witness"
        assert emptied.differences() == []


def test_who_cannot_be_shown_is_not_deleted_and_costs_no_sync(mirrored: Church, world: SimulatorProcess) -> None:
    broken, gone = ids_of(world)[:2]
    delete(world, [broken, gone])
    world.faults([{"kind": "500", "path": f"/people/v2/people/{broken}", "permanent": True}])

    assert mirrored.sync().deleted == 1
    assert buried(mirrored) == {gone: "absent"}


def test_an_outage_while_pco_is_asked_fails_the_sync_and_it_is_continued(
    mirrored: Church, world: SimulatorProcess
) -> None:
    everybody = ids_of(world)
    delete(world, everybody[:1])
    world.faults([{"kind": "500", "path": f"/people/v2/people/{one}", "permanent": True} for one in everybody])

    assert mirrored.end(epoch="e").is_failed()
    assert buried(mirrored) == {}

    world.faults([])
    world.reset_log()
    assert mirrored.sync(epoch="e").deleted == 1
    assert len(of_people(world)) == 2 + 3, "its pages are not read again"
    assert buried(mirrored) == {everybody[0]: "absent"}


def test_asking_that_was_interrupted_goes_on_where_it_was_with_what_it_was_told(
    mirrored: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever continues it neither asks for thousands again, nor forgets that a person accepted that many."""
    monkeypatch.setattr("tasks.deletions.absence.PER_CHECKPOINT", 10)
    gone = ids_of(world)[:60]
    delete(world, gone)
    world.faults([{"kind": "401", "path": f"/people/v2/people/{gone[35]}", "permanent": True}])
    assert mirrored.end(epoch="e", many_deletions="accept").is_failed()
    assert len(mirrored.sql("SELECT 1 FROM sync.answers")) == 30
    assert mirrored.runs()[-1].plan == {"many_deletions": "accept"}

    world.faults([])
    world.reset_log()
    summary = mirrored.sync(epoch="e", many_deletions="accept")

    assert (summary.missing, summary.deleted) == (60, 60)
    assert len(of_people(world)) == 3 * (2 * 10 + 3), "half of them were asked for before"
    assert mirrored.differences() == []
    assert mirrored.sql("SELECT 1 FROM sync.answers") == []
    world.reset_log()
    mirrored.sql("UPDATE sync.runs SET state = 'running' WHERE epoch = 'e'")
    assert mirrored.sync(epoch="e", many_deletions="accept").deleted == 60, "killed before it could say so"
    assert of_people(world) == []


def test_whom_the_filter_hid_is_found_deleted_by_a_full_sync_and_stays_so_in_a_delta(
    mirrored: Church, world: SimulatorProcess
) -> None:
    """Without a time of creation the filter never shows them; they are gone when the unfiltered list says so."""
    hidden = ids_of(world)[10:90:20]
    world.churn(
        [
            {"operation": "edit", "entity": "people.Person", "id": one, "attributes": {"created_at": None}}
            for one in hidden
        ]
    )
    assert (mirrored.sync().missing, mirrored.differences()) == (0, [])
    delete(world, hidden[:2])

    first = mirrored.sync()
    assert (first.missing, first.deleted) == (2, 2)
    assert "leaves out 2 records" in first.fallback
    delete(world, hidden[2:])
    second = mirrored.sync()

    assert (second.missing, second.deleted, second.fallback) == (2, 2, "")
    assert mirrored.sync(mode="delta").missing == 0
    assert buried(mirrored) == dict.fromkeys(hidden, "absent")
    assert mirrored.differences() == []


def test_to_accept_many_is_another_turn_than_the_one_that_stopped_at_them(
    mirrored: Church, world: SimulatorProcess
) -> None:
    delete(world, ids_of(world)[:51])
    world.faults([{"kind": "403", "times": 1}])
    assert mirrored.end().is_failed()

    assert mirrored.sync(many_deletions="accept").epoch == "turn-3"

    assert "was begun with many_deletions 'accept' and not 'stop'" in str(mirrored.end(epoch="turn-3").message)
