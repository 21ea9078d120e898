"""What a flow run is told that continues what another one began."""

from inspect import signature

import pytest

from flows.sync_children import sync_children
from pco_store.ledger.openings import DUE, WANTED
from pco_store.ledger.runs import FanOutPlan
from tasks.deployment_runs import parameters_of


@pytest.mark.parametrize(("mode", "wanted", "told"), [("full", False, "full"), (DUE, False, DUE), (DUE, True, WANTED)])
def test_a_fan_out_is_continued_as_it_was_begun(mode: str, wanted: bool, told: str) -> None:
    plan = FanOutPlan(below=("groups.Group",), groups_per_run=6, most_under_way=10, most_requests=7, wanted=wanted)
    parameters = parameters_of(plan, mode)
    assert parameters["mode"] == told
    assert (parameters["below"], parameters["groups_per_run"], parameters["most_requests"]) == (["groups.Group"], 6, 7)
    assert parameters.keys() <= signature(sync_children.fn).parameters.keys(), "the flow knows each of them"
