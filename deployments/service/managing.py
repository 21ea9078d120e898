"""Installs, shows and removes the service, with systemd or launchd."""

import os
import sys
from dataclasses import asdict

from rich.console import Console

from deployments.ended import print_document
from deployments.exit_codes import DONE, FAILED, INCOMPLETE
from deployments.service.launchd import Launchd
from deployments.service.programs import kept_environment, programs, read_settings_file, write_settings_file
from deployments.service.states import ServiceError
from deployments.service.systemd import BOOTED, Systemd
from deployments.waiting import waiting


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


def install(console: Console) -> int:
    """Write it, start it now and with the machine; 3 if a reboot still needs somebody. Raises `ServiceError`."""
    manager = supervisor()
    settings = {**read_settings_file(manager.settings_file), **kept_environment(os.environ)}
    wanted = programs(settings)
    write_settings_file(manager.settings_file, settings)
    with waiting(console, f"starting {' and '.join(one.name for one in wanted)}"):
        still = manager.install(wanted, settings)
    for one in wanted:
        console.print(f"{one.name} runs; its log: {manager.log_command(one.name)}", highlight=False, soft_wrap=True)
    console.print(f"settings: {manager.settings_file}", highlight=False, soft_wrap=True)
    if still is not None:
        console.print(f"[yellow]{still}[/]", highlight=False, soft_wrap=True)
        return INCOMPLETE
    return DONE


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
    for one in states:
        colour = "green" if one.runs else "red"
        boot = "starts with the machine" if one.starts_with_the_machine else "starts when you log in"
        console.print(f"{one.name:<17} [{colour}]{one.told}[/]; {boot}", highlight=False, soft_wrap=True)
        if not one.runs:
            console.print(f"{'':<17} {manager.log_command(one.name)}", highlight=False, soft_wrap=True)
    return code


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
