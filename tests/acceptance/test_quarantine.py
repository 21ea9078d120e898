"""A fan-out's quarantine: told by its state, listed and replayed by the command line, settled by the next fan-out."""

from collections.abc import Iterator

import pytest

from deployments.app import main
from flows.sync_children import sync_children
from tasks.reports.fan_out_summary import FanOutSummary
from tests.fleet import MEMBERSHIPS, Fleet
from tests.simulators import SimulatorProcess

pytestmark = pytest.mark.usefixtures("restored_signals")


@pytest.fixture
def world() -> Iterator[SimulatorProcess]:
    """A church of 12 groups that a test may change."""
    with SimulatorProcess(people=40, groups=12) as simulator:
        yield simulator


def test_a_fan_out_says_what_it_has_put_aside_and_the_next_one_settles_it(
    fleet: Fleet, world: SimulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    church = fleet.church("aside", world).church
    member, group = (world.state(entity)[3]["id"] for entity in (MEMBERSHIPS, "groups.Group"))
    ill = [("attributes-list", member), ("wrong-record-type", group)]
    world.faults([{"kind": kind, "record_id": one, "permanent": True} for kind, one in ill])

    name, summary = fan_out("monday")
    assert (name, summary.quarantined, summary.dead) == ("CompletedWithQuarantine", 2, 0)
    assert main(["quarantine", "aside"]) == 0
    said = capsys.readouterr().out
    assert f"groups.Group  record {group}" in said
    assert f"{MEMBERSHIPS}  record {member}" in said

    world.faults([])
    assert main(["replay-quarantine", "aside"]) == 3
    said = capsys.readouterr().out
    assert "incomplete: 2 looked at: 1 stored, 0 already newer in the mirror, 1 still open" in said
    assert church.differences("groups.Group") == []

    church.sql("UPDATE sync.quarantine SET created_at = created_at - interval '10 seconds'")  # windows end in the past
    name, summary = fan_out("tuesday")
    assert (name, summary.quarantined, summary.children) == ("Completed", 0, 12)
    assert church.sql("SELECT 1 FROM sync.quarantine WHERE org_id = 'aside' AND resolved_at IS NULL") == []
    assert church.differences(MEMBERSHIPS) == []


def fan_out(epoch: str) -> tuple[str, FanOutSummary]:
    """The name and the summary of a fan-out that was waited for."""
    state = sync_children("aside", MEMBERSHIPS, epoch=epoch, groups_per_run=12, wait=True, return_state=True)
    summary: FanOutSummary = state.data if isinstance(state.data, FanOutSummary) else state.result()
    return str(state.name), summary
