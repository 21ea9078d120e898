"""What comes with the records of a list is verified by the lists of single owners, which no include can cut short."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from flows.verify_entity import verify_entity
from tests.church import Church
from tests.simulators import SimulatorProcess
from tests.stack import wait_until

DONATIONS = "giving.Donation"
DESIGNATIONS = "giving.Designation"
KINDS = (DESIGNATIONS, "giving.Refund", "giving.Note", "giving.DesignationRefund")
OWNERS = 40


@pytest.fixture
def giving(church: Church, monkeypatch: pytest.MonkeyPatch) -> Iterator[Church]:
    """A church with 40 donations in a world of its own."""
    with SimulatorProcess(people=OWNERS, groups=6) as world:
        monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
        yield church.served_by(world)


def verify(giving: Church, entity: str = DESIGNATIONS, method: str = "full", **parameters: Any) -> State[Any]:
    state: State[Any] = verify_entity(giving.org_id, entity, method, return_state=True, **parameters)
    return state


def lapse(giving: Church, kind: str, **rule: Any) -> None:
    giving.simulator.faults([{"kind": f"include-{kind}", "include": "designations", "permanent": True, **rule}])


def test_each_kind_that_came_with_a_list_is_compared_with_its_owners(giving: Church) -> None:
    giving.sync(DONATIONS)
    for kind in KINDS:
        giving.simulator.reset_log()
        sample = verify(giving, kind, "sample", sample_pages=8, seed=1)
        assert (sample.name, f"(8 of {OWNERS} owners)" in str(sample.message)) == ("SampleAgrees", True), sample.message
        assert len(giving.simulator.access_log()) <= 8 + 3
        assert verify(giving, kind).name == "Exact"
    (kept,) = giving.sql("SELECT * FROM sync.proofs WHERE entity = :kind AND method = 'full'", kind=DESIGNATIONS)
    assert kept.facts["same"] == len(giving.simulator.state(DESIGNATIONS))


def test_a_row_lost_or_invented_in_the_mirror_is_found(giving: Church) -> None:
    giving.sync(DONATIONS)
    giving.sql("DELETE FROM giving.note WHERE id = (SELECT min(id) FROM giving.note)")
    giving.sql("UPDATE giving.designation SET id = '777' WHERE id = (SELECT min(id) FROM giving.designation)")
    told = {kind: str(verify(giving, kind).message).split(";")[0] for kind in ("giving.Note", DESIGNATIONS)}
    assert told == {"giving.Note": "1 unmirrored", DESIGNATIONS: "1 unmirrored, 1 ghosts"}


def test_what_an_include_left_out_is_found(giving: Church, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one owner, that the sync does not happen to look at."""
    monkeypatch.setattr("tasks.verification.includes.OF_EACH", 0)
    giving.sync(DONATIONS)
    ((owner,),) = giving.sql("SELECT donation_id FROM giving.designation GROUP BY 1 HAVING count(*) > 1 LIMIT 1")
    giving.sql("DELETE FROM giving.designation WHERE donation_id = :owner", owner=owner)
    lapse(giving, "cut", number=1, record_id=owner)
    giving.sync(DONATIONS)
    state = verify(giving)
    assert (state.name, "unmirrored" in str(state.message)) == ("Different", True)


def test_what_nobody_named_is_given_its_owner_before_anybody_verifies(giving: Church) -> None:
    lapse(giving, "unnamed", record_id=giving.simulator.state(DONATIONS)[0]["id"])
    giving.sync(DONATIONS)
    assert all(one["donation_id"] for one in giving.rows(DESIGNATIONS))
    assert verify(giving).name == "Exact"


def test_an_include_that_was_dropped_leaves_the_last_complete_reading_to_compare(giving: Church) -> None:
    lapse(giving, "missing")
    assert giving.end(DONATIONS).name == "CompletedWithoutIncluded"
    state = verify(giving)
    assert state.is_failed()
    assert "giving.Designation of grace was never read completely" in str(state.message)
    assert verify(giving, "giving.Note").name == "Exact"


def test_what_many_owners_share_is_compared_by_content(giving: Church) -> None:
    """The location of a group names none of them: whose it is cannot be compared, nor that it is nobody's."""
    giving.sync("groups.Group")
    assert verify(giving, "groups.Location").name == "Exact"
    assert verify(giving, "groups.Location", "sample").name == "SampleAgrees"
    giving.sql("UPDATE groups.location SET id = '777' WHERE id = (SELECT min(id) FROM groups.location)")
    state = verify(giving, "groups.Location")
    assert (state.name, str(state.message).split(";")[0]) == ("Different", "1 unmirrored")
    giving.sync("groups.Group")
    (gone,) = (one for one in giving.rows("groups.Location") if one["id"] == "777")
    assert gone["_deleted_at"] is not None
    assert verify(giving, "groups.Location").name == "Exact"


def test_a_verify_while_a_sync_runs_takes_its_work_for_no_difference(giving: Church) -> None:
    giving.sync(DONATIONS)
    giving.simulator.clock(ahead_seconds=60)
    giving.simulator.churn([{"operation": "give", "entity": DONATIONS, "count": 3}])
    with ThreadPoolExecutor(1) as pool, giving.checkpoints_wait():
        running = pool.submit(copy_context().run, giving.sync, DONATIONS)
        wait_until(lambda: giving.waiting_transactions() > 0, "the sync's page waits for its commit")
        state = verify(giving)
        assert state.name == "ExactAsOf", state.message
    running.result()
    assert verify(giving).name == "Exact"


def test_a_count_is_refused_before_anything_is_asked(giving: Church) -> None:
    giving.simulator.reset_log()
    state = verify(giving, method="count")
    assert state.is_failed()
    assert "giving.Designation cannot be counted" in str(state.message)
    assert giving.simulator.access_log() == []
