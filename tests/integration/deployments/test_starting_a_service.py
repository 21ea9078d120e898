"""A service is told to run when it does: asked of the supervisor, whose commands stand in for those of the machine."""

import itertools
import os
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from deployments.exit_codes import DONE, FAILED
from deployments.service import managing
from deployments.service.launchd import Launchd
from deployments.service.programs import WORKER, programs
from deployments.service.states import ServiceError
from deployments.service.systemd import Systemd

LOADED = "a job that is there"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what its supervisor says, for a user with a home of its own."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, script in {
        "systemctl": f'case "$*" in *" show "*) cat {tmp_path}/units;; esac',
        "loginctl": "",
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
    monkeypatch.setattr(managing, "supervisor", lambda: Systemd(is_system=False))
    return tmp_path


def say(machine: Path, active: str, sub: str, restarts: int = 0) -> None:
    (machine / "units").write_text(f"ActiveState={active}\nSubState={sub}\nNRestarts={restarts}\n")


def install(wait: Callable[[float], None]) -> tuple[int, str]:
    """Its exit code, and what it says."""
    said = StringIO()
    return managing.install(Console(file=said, width=200), wait=wait), said.getvalue()


def test_what_keeps_running_is_said_to_run(machine: Path) -> None:
    say(machine, "active", "running")
    waits: list[float] = []
    code, said = install(waits.append)
    assert code == DONE
    assert f"{WORKER:<17} active (running), restarted 0 times" in said
    assert "keep running" not in said
    assert sum(waits) == managing.STEADY_SECONDS


def test_what_runs_after_a_while_is_waited_for(machine: Path) -> None:
    say(machine, "activating", "start")
    seconds = itertools.count(1)
    code, said = install(lambda _: say(machine, *(("active", "running") if next(seconds) > 30 else ("activating", ""))))
    assert (code, next(seconds)) == (DONE, 31 + managing.STEADY_SECONDS + 1)
    assert f"{WORKER:<17} active (running)" in said


def test_what_is_started_again_and_again_is_not_said_to_run(machine: Path) -> None:
    """It happens to run when it is looked at for the last time."""
    say(machine, "active", "running")
    seconds = itertools.count(1)

    def wait(_: float) -> None:
        restarts, second = divmod(next(seconds), 7)
        say(machine, *(("active", "running") if second < 2 else ("activating", "auto-restart")), restarts)

    code, said = install(wait)
    assert (code, next(seconds)) == (FAILED, managing.PATIENCE_SECONDS + 1)
    assert ", and does not keep running" in said
    assert f"journalctl --user -u {WORKER}" in said


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
