"""Who was merged into another gets a tombstone that says where he went; who is shown as deleted, gets one unasked."""

import itertools
from collections.abc import Iterator

import pytest

from tests.church import Church
from tests.simulators import SimulatorProcess

MERGERS = "people.PersonMerger"
WORKFLOWS = "people.Workflow"
_half_minutes = itertools.count(2)


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church that a test may change."""
    with SimulatorProcess(people=30, groups=0) as simulator:
        yield simulator


@pytest.fixture
def mirrored(church: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Church:
    """The church, once mirrored in full."""
    monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
    moving = church.served_by(world)
    for entity in ("people.Person", MERGERS, WORKFLOWS):
        moving.sync(entity)
    world.clock(ahead_seconds=30)
    world.reset_log()
    return moving


def merge(world: SimulatorProcess, gone: str, kept: str) -> None:
    """They are merged, and half a minute passes in PCO."""
    world.churn([{"operation": "merge", "entity": "people.Person", "id": gone, "into": kept}])
    world.clock(ahead_seconds=30 * next(_half_minutes))


def buried(church: Church, entity: str = "people.Person") -> dict[str, str]:
    return {row["id"]: row["_deleted_reason"] for row in church.rows(entity) if row["_deleted_at"] is not None}


def test_a_merge_that_a_delta_tells_of_is_followed_at_once(mirrored: Church, world: SimulatorProcess) -> None:
    """PCO writes the ids of a merger as numbers (#1043)."""
    gone, kept = (one["id"] for one in world.state("people.Person")[3:5])
    merge(world, gone, kept)

    summary = mirrored.sync(MERGERS, mode="delta")

    assert (summary.new, summary.merged) == (1, 1)
    assert buried(mirrored) == {gone: f"merged into {kept}"}
    world.reset_log()
    people = mirrored.sync()
    assert (people.missing, people.merged) == (0, 0)
    assert not [one for one in world.access_log() if one["path"].endswith(gone)], "nobody has to ask for him"
    assert mirrored.differences() == []


def test_who_is_found_absent_first_is_told_to_be_merged_later(mirrored: Church, world: SimulatorProcess) -> None:
    gone, kept = (one["id"] for one in world.state("people.Person")[3:5])
    merge(world, gone, kept)
    assert mirrored.sync().deleted == 1
    assert buried(mirrored) == {gone: "absent"}
    assert mirrored.sync(MERGERS).merged == 1
    assert buried(mirrored) == {gone: f"merged into {kept}"}


def test_a_chain_of_merges_leads_to_the_last_survivor(mirrored: Church, world: SimulatorProcess) -> None:
    first, second, last = (one["id"] for one in world.state("people.Person")[3:6])
    merge(world, first, second)
    merge(world, second, last)
    mirrored.sync(MERGERS)
    assert buried(mirrored) == {first: f"merged into {second}", second: f"merged into {last}"}
    survivors = mirrored.sql("SELECT person_id, survivor_id FROM people.merged_person WHERE org_id = 'grace'")
    assert dict(tuple(row) for row in survivors) == {first: last, second: last}


def test_merges_in_a_circle_come_to_an_end(church: Church) -> None:
    church.sql(
        "INSERT INTO people.person_merger (org_id, id, person_to_remove_id, person_to_keep_id, created_at, _synced_at, "
        "_epoch, _content_hash) VALUES ('grace', '1', 'a', 'b', now(), now(), 'e', ''), "
        "('grace', '2', 'b', 'a', now(), now(), 'e', '')"
    )
    assert len(church.sql("SELECT * FROM people.merged_person")) == 2


def test_who_is_shown_after_the_merge_is_alive(mirrored: Church, world: SimulatorProcess) -> None:
    gone, kept = (one["id"] for one in world.state("people.Person")[3:5])
    merge(world, gone, kept)
    mirrored.sql("UPDATE people.person SET _synced_at = now() + interval '1 hour' WHERE id = :id", id=gone)
    assert mirrored.sync(MERGERS, mode="delta").merged == 0
    assert buried(mirrored) == {}


def test_deleted_records_that_pco_shows_by_a_filter_are_not_asked_for(
    mirrored: Church, world: SimulatorProcess
) -> None:
    gone = world.state(WORKFLOWS)[0]["id"]
    world.churn([{"operation": "delete", "entity": WORKFLOWS, "id": gone}])

    summary = mirrored.sync(WORKFLOWS)

    assert (summary.missing, summary.deleted) == (1, 1)
    assert buried(mirrored, WORKFLOWS) == {gone: "destroyed"}
    assert [one["path"] for one in world.access_log() if one["query"] == ""] == []
    assert summary.requests == len(world.access_log())


def test_where_pco_ignores_that_filter_each_is_asked_for(mirrored: Church, world: SimulatorProcess) -> None:
    gone = world.state(WORKFLOWS)[0]["id"]
    world.churn([{"operation": "delete", "entity": WORKFLOWS, "id": gone}])
    world.ignore(["only_deleted"])
    assert mirrored.sync(WORKFLOWS).deleted == 1
    assert buried(mirrored, WORKFLOWS) == {gone: "absent"}
