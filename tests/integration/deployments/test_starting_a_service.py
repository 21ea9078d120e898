"""A service is told to run when it does: asked of the supervisor, whose commands stand in for those of the machine."""

import itertools
import os
from pathlib import Path

import pytest

from deployments.service.launchd import Launchd
from deployments.service.programs import programs
from deployments.service.states import ServiceError

LOADED = "a job that is there"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what its supervisor says, for a user with a home of its own."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, script in {
        "launchctl": f"""
            case $1 in
            print) grep . {tmp_path}/jobs;;
            bootstrap) if grep . {tmp_path}/jobs; then echo "Bootstrap failed: 5: Input/output error"; exit 5; fi;;
            esac""",
    }.items():
        (commands / name).write_text(f"#!/bin/sh\n{script}\n")
        (commands / name).chmod(0o755)
    (tmp_path / "jobs").touch()
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_an_agent_is_started_again_when_the_one_before_has_ended(machine: Path) -> None:
    seconds = itertools.count(1)

    def wait(_: float) -> None:
        if next(seconds) == 3:
            (machine / "jobs").write_text("")

    manager = Launchd(is_system=False, wait=wait)
    manager.install(programs({}), {})
    (machine / "jobs").write_text(LOADED)
    manager.install(programs({}), {})
    assert next(seconds) == 4


def test_one_that_does_not_end_is_waited_for_no_longer_than_it_may_take(machine: Path) -> None:
    waits: list[float] = []
    manager = Launchd(is_system=False, wait=waits.append)
    manager.install(programs({}), {})
    (machine / "jobs").write_text(LOADED)
    with pytest.raises(ServiceError, match="Bootstrap failed: 5"):
        manager.install(programs({}), {})
    assert sum(waits) == sum(one.stop_seconds for one in programs({}))
