"""Installs, shows and removes the service, with systemd or launchd."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Final

from rich.console import Console

from deployments.ended import print_document
from deployments.exit_codes import DONE, FAILED, INCOMPLETE
from deployments.service.launchd import Launchd
from deployments.service.programs import kept_environment, programs, read_settings_file, write_settings_file
from deployments.service.states import ServiceError, State
from deployments.service.systemd import BOOTED, Systemd
from deployments.waiting import waiting

STEADY_SECONDS: Final = 10
"""What has been running so long since it was started, without being started again, runs."""
PATIENCE_SECONDS: Final = 120
"""The longest wait for that. launchd knows no order: a worker ends and is started again until the servers are up."""


def supervisor() -> Systemd | Launchd:
    """The one that runs this machine; for root the machine's own services, else the user's. Raises `ServiceError`."""
    is_system = os.geteuid() == 0
    if sys.platform == "darwin":
        return Launchd(is_system=is_system)
    if BOOTED.is_dir():
        return Systemd(is_system=is_system)
    raise ServiceError(
        "neither systemd nor launchd runs here, as in a container (in WSL: systemd=true below [boot] in /etc/wsl.conf, "
        "then wsl --shutdown). Let what supervises programs here run these two in the project's folder and start them "
        "again when they end: `pco-sync up --foreground` (not with servers of your own) and `pco-sync worker`"
    )


def install(console: Console, *, wait: Callable[[float], None] = time.sleep) -> int:
    """Write it, start it now and with the machine; 1 if it does not run, 3 if a reboot still needs somebody.

    Raises `ServiceError`.
    """
    manager = supervisor()
    settings = {**read_settings_file(manager.settings_file), **kept_environment(os.environ)}
    wanted = programs(settings)
    write_settings_file(manager.settings_file, settings)
    with waiting(console, f"starting {' and '.join(one.name for one in wanted)}"):
        still = manager.install(wanted, settings)
        states = _settled(manager, [one.name for one in wanted], wait)
    _show_states(manager, states, console)
    console.print(f"settings: {manager.settings_file}", highlight=False, soft_wrap=True)
    if still is not None:
        console.print(f"[yellow]{still}[/]", highlight=False, soft_wrap=True)
    if not all(one.runs for one in states):
        return FAILED
    return DONE if still is None else INCOMPLETE


def _settled(manager: Systemd | Launchd, names: Sequence[str], wait: Callable[[float], None]) -> list[State]:
    """The states once all have run steadily, at most for our patience; what was not steady does not run."""
    states: dict[str, State] = {}
    steady = dict.fromkeys(names, 0)
    for _ in range(PATIENCE_SECONDS):
        for name in names:
            now = manager.state(name)
            steady[name] = steady[name] + 1 if now.runs and now == states.get(name) else 0
            states[name] = now
        if min(steady.values()) >= STEADY_SECONDS:
            break
        wait(1)
    return [
        one
        if not one.runs or steady[one.name] >= STEADY_SECONDS
        else replace(one, runs=False, told=f"{one.told}, and does not keep running")
        for one in states.values()
    ]


def show(console: Console, *, as_json: bool) -> int:
    """Print whether each program runs and starts with the machine; 1 if one does not run, or none is installed.

    Raises `ServiceError`.
    """
    manager = supervisor()
    states = [manager.state(name) for name in manager.installed()]
    code = DONE if states and all(one.runs for one in states) else FAILED
    if as_json:
        print_document({"programs": [asdict(one) for one in states], "exit_code": code})
        return code
    if not states:
        console.print("no service is installed; `pco-sync service install` does it")
    _show_states(manager, states, console)
    return code


def _show_states(manager: Systemd | Launchd, states: Sequence[State], console: Console) -> None:
    for one in states:
        colour = "green" if one.runs else "red"
        boot = "starts with the machine" if one.starts_with_the_machine else "starts when you log in"
        console.print(f"{one.name:<17} [{colour}]{one.told}[/]; {boot}", highlight=False, soft_wrap=True)
        console.print(f"{'':<17} {manager.log_command(one.name)}", highlight=False, soft_wrap=True)


def remove(console: Console) -> int:
    """Stop it and remove it; the data and the settings stay. Raises `ServiceError`."""
    manager = supervisor()
    names = manager.installed()
    with waiting(console, "stopping"):
        manager.remove(names)
    for name in names:
        console.print(f"removed {name}", highlight=False)
    if not names:
        console.print("no service is installed")
    if manager.settings_file.exists():
        console.print(f"its settings stay: {manager.settings_file}", highlight=False, soft_wrap=True)
    return DONE
