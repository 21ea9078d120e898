"""The names of flow runs say what the run does."""

from typing import Any

import pytest

from deployments.provisioning.names import DEPLOYMENTS
from tasks.run_names import LONGEST_CHOICE, run_name


@pytest.mark.parametrize(
    ("flow", "parameters", "name"),
    [
        ("sync-organization", {}, "grace: everything"),
        ("sync-organization", {"mode": "delta", "include": []}, "grace: delta of everything"),
        ("sync-organization", {"include": ["people.*", "giving"]}, "grace: people.*, giving"),
        ("sync-organization", {"mode": "rest", "exclude": ("giving",)}, "grace: rest of everything without giving"),
        ("sync-organizations", {"mode": "delta"}, "all churches: delta of everything"),
        ("sync-entity", {"entity": "people.Person"}, "grace: people.Person"),
        ("sync-entity", {"entity": "people.Person", "mode": "delta"}, "grace: delta of people.Person"),
        ("sync-children", {"entity": "groups.Membership"}, "grace: groups.Membership below every parent"),
        ("sync-child", {"entity": "groups.Membership", "parents": ["1"]}, "grace: groups.Membership below 1"),
        ("sync-child", {"entity": "a.B", "parents": ["1", "2", "3"]}, "grace: a.B below 1 and 2 more"),
        ("replay-children", {"entity": "groups.Membership", "epoch": "e"}, "grace: replay groups.Membership of e"),
        ("replay-quarantine", {"entity": None}, "grace: replay everything in quarantine"),
        ("verify-entity", {"entity": "people.Person"}, "grace: verify people.Person"),
        ("recover-syncs", {}, "continue what died"),
        ("remove-old", {}, "remove what is over"),
    ],
)
def test_a_run_is_called_by_its_church_and_what_it_does(flow: str, parameters: dict[str, Any], name: str) -> None:
    assert run_name(flow, {"org_id": "grace", **parameters}) == name


def test_a_long_choice_is_cut_and_a_flow_of_others_has_no_name() -> None:
    long = run_name("sync-organization", {"org_id": "grace", "include": ["people.Person"] * 20})
    assert long is not None
    assert len(long) == len("grace: ") + LONGEST_CHOICE
    assert long.endswith("…")
    assert run_name("somebodys-flow", {}) is None


def test_every_flow_of_ours_has_one() -> None:
    given = {"org_id": "grace", "entity": "a.B", "parents": ["1"], "epoch": "e"}
    assert all(run_name(name.partition("/")[0], given) for name in DEPLOYMENTS)
