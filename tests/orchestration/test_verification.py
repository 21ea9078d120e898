"""A proof says exact if the mirror is, and by what it differs if it is not; what is newer in PCO is no difference."""

from collections.abc import Iterator
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from flows.verify_entity import verify_entity
from pco_simulator.testing import SimulatorProcess
from tests.church import Church

PEOPLE = 730
METHODS = ("count", "sample", "full")


@pytest.fixture(scope="module")
def shared_world() -> Iterator[SimulatorProcess]:
    """A church of eight pages."""
    with SimulatorProcess(people=PEOPLE, groups=3) as simulator:
        yield simulator


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church that a test may change."""
    with SimulatorProcess(people=PEOPLE, groups=3) as simulator:
        yield simulator


def mirrored(church: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Church:
    """The church in that world, mirrored in full."""
    monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
    world.faults([])
    moving = church.served_by(world)
    moving.sync()
    world.reset_log()
    return moving


def verify(church: Church, entity: str = "people.Person", **parameters: Any) -> State[Any]:
    state: State[Any] = verify_entity(church.org_id, entity, return_state=True, **parameters)
    return state


def proof(church: Church) -> Any:
    return church.sql("SELECT * FROM sync.proofs ORDER BY proof_id DESC LIMIT 1")[0]


@pytest.mark.parametrize("method", METHODS)
def test_a_mirror_that_is_exact_is_proven_exact_and_the_cost_is_told(
    church: Church, shared_world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    moving = mirrored(church, shared_world, monkeypatch)
    state = verify(moving, method=method, sample_pages=5)
    kept = proof(moving)
    assert (state.name, kept.verdict, kept.method) == ("Exact", "exact", method)
    assert kept.requests == len(shared_world.access_log()) <= 9
    assert kept.facts["pco_count"] == kept.facts["mirror_count"] == PEOPLE
    compared = {"count": 0, "sample": 430, "full": PEOPLE}[method]
    assert kept.facts["compared"] in {compared, compared + 1}, "the newest one may be on another page"
    assert f"{kept.requests} requests" in str(state.message)


def test_it_says_by_what_a_mirror_differs(
    church: Church, shared_world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = mirrored(church, shared_world, monkeypatch)
    ids = [one["id"] for one in shared_world.state("people.Person")]
    moving.sql("DELETE FROM people.person WHERE id = :id", id=ids[3])
    moving.sql("UPDATE people.person SET updated_at = updated_at - interval '1 day' WHERE id = :id", id=ids[5])
    moving.sql(
        "INSERT INTO people.person (org_id, id, created_at, _synced_at, _epoch, _content_hash) "
        "VALUES ('grace', :id, '2020-01-01', now(), 'e', '')",
        id=str(int(ids[7]) + 1),
    )
    for method in ("sample", "full"):
        state = verify(moving, method=method)
        kept = proof(moving)
        assert (state.name, kept.verdict) == ("Different", "different")
        assert kept.facts["residuals"] == {"missing": [ids[3]], "stale": [ids[5]], "ghosts": [str(int(ids[7]) + 1)]}
        assert "1 missing, 1 ghosts, 1 stale" in str(state.message)


def test_a_ghost_beyond_the_last_record_and_one_before_the_first_are_found(
    church: Church, shared_world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = mirrored(church, shared_world, monkeypatch)
    for one in ("1", "999999999999"):
        moving.sql(
            "INSERT INTO people.person (org_id, id, created_at, _synced_at, _epoch, _content_hash) "
            "VALUES ('grace', :id, '2020-01-01', now(), 'e', '')",
            id=one,
        )
    verify(moving, sample_pages=2)
    assert proof(moving).facts["residuals"]["ghosts"] == ["1", "999999999999"]


def test_what_changed_in_pco_since_is_newer_and_no_difference(
    church: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = mirrored(church, world, monkeypatch)
    world.clock(ahead_seconds=60)
    world.churn([{"operation": "edit", "entity": "people.Person", "place": place} for place in (1, 2, PEOPLE - 1)])
    world.churn([{"operation": "create", "entity": "people.Person", "count": 2}])
    for method in METHODS:
        state = verify(moving, method=method, sample_pages=9)
        assert state.name == "Exact", state.message
    assert proof(moving).facts["newer"] in {3, 4}, "the edited ones; one that was created may be the newest"


def test_a_deletion_that_no_sync_has_noticed_yet_is_a_difference(
    church: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = mirrored(church, world, monkeypatch)
    gone = world.state("people.Person")[700]["id"]
    world.churn([{"operation": "delete", "entity": "people.Person", "id": gone}])
    assert verify(moving, method="count").name == "Different"
    assert "PCO counts 729, the mirror 730" in str(verify(moving, method="sample", sample_pages=2).message)
    verify(moving, method="full")
    assert proof(moving).facts["residuals"]["ghosts"] == [gone]
    moving.sync()
    assert verify(moving, method="full").name == "Exact"


@pytest.mark.parametrize("kind", ["no-total", "wrong-total"])
def test_a_count_that_is_missing_or_wrong_proves_nothing_and_all_pages_do(
    church: Church, shared_world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    moving = mirrored(church, shared_world, monkeypatch)
    shared_world.faults([{"kind": kind, "permanent": True}])
    assert verify(moving, method="count").name == "Unknown"
    assert verify(moving, method="sample").name == "Unknown"
    assert verify(moving, method="full").name == "Exact"


def test_what_was_never_read_completely_is_told_so(church: Church) -> None:
    state = verify(church)
    assert state.is_failed()
    assert "was never read completely; sync it first" in str(state.message)


def test_a_list_without_times_is_compared_by_its_ids(
    church: Church, world: SimulatorProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = mirrored(church, world, monkeypatch)
    moving.sync("groups.GroupType")
    assert verify(moving, "groups.GroupType").name == "Exact"
    moving.sql("DELETE FROM groups.group_type WHERE id = (SELECT min(id) FROM groups.group_type)")
    assert verify(moving, "groups.GroupType").name == "Different"
