"""launchd, on macOS: agents of a user, which start at login, or daemons of the machine for root."""

import os
import plistlib
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.provisioning.declared import PROJECT
from deployments.service.programs import NAMES, Program, owner
from deployments.service.states import ServiceError, State


@dataclass(frozen=True, kw_only=True)
class Launchd:
    """The property lists in one folder, and the domain that runs them."""

    is_system: bool
    wait: Callable[[float], None] = time.sleep

    @property
    def folder(self) -> Path:
        """Where the property lists lie."""
        return Path("/Library/LaunchDaemons") if self.is_system else Path.home() / "Library" / "LaunchAgents"

    @property
    def settings_file(self) -> Path:
        """What they are made from; launchd itself reads no such file."""
        return (Path("/etc") if self.is_system else Path.home() / ".config") / "pco-sync" / "service.env"

    def installed(self) -> list[str]:
        """The names of the programs whose property list is there."""
        return [name for name in NAMES if self._file(name).exists()]

    def install(self, programs: Sequence[Program], settings: Mapping[str, str]) -> str | None:
        """Write the property lists and start them; what is still to be done, or None. Raises `ServiceError`."""
        self.remove(self.installed())
        self.folder.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        for one in programs:
            file = self._file(one.name)
            file.touch(mode=0o600)  # the settings have secrets
            file.write_bytes(plistlib.dumps(self.property_list(one, settings)))
            self._ask("bootstrap", self._domain, str(file))
        if self.is_system:
            return None
        return "It starts when you log in. To start with the machine, without a login, install it with sudo"

    def remove(self, names: Sequence[str]) -> None:
        """Stop programs, and remove their property lists. Raises `ServiceError`."""
        for name in reversed(names):
            self._run("bootout", f"{self._domain}/{_label(name)}")  # fails if it is not loaded
            self._await_end(name)
            self._file(name).unlink(missing_ok=True)

    def _await_end(self, name: str) -> None:
        """`bootout` may return before the job has ended, and until then `bootstrap` fails with error 5."""
        told = self._file(name).read_bytes()  # empty if an installation was interrupted
        for _ in range(plistlib.loads(told)["ExitTimeOut"] if told else 0):
            if self._run("print", f"{self._domain}/{_label(name)}").returncode != 0:
                return
            self.wait(1)

    def state(self, name: str) -> State:
        """Raises `ServiceError`."""
        done = self._run("print", f"{self._domain}/{_label(name)}")
        found = re.search(r"^\s*state = (.+)$", done.stdout, flags=re.MULTILINE)
        told = found[1] if found else "not loaded"
        return State(name=name, runs=told == "running", told=told, starts_with_the_machine=self.is_system)

    def log_command(self, name: str) -> str:
        """What shows a person its log."""
        return f"tail -f {self._log(name)}"

    def property_list(self, program: Program, settings: Mapping[str, str]) -> dict[str, Any]:
        """What launchd reads."""
        return {
            "Label": _label(program.name),
            "ProgramArguments": program.command,
            "WorkingDirectory": str(PROJECT),
            "EnvironmentVariables": dict(settings),
            "RunAtLoad": True,
            "KeepAlive": True,
            "ThrottleInterval": 10,
            "ExitTimeOut": program.stop_seconds,
            "StandardOutPath": str(self._log(program.name)),
            "StandardErrorPath": str(self._log(program.name)),
            **({"UserName": owner()} if self.is_system else {}),
        }

    @property
    def _domain(self) -> str:
        return "system" if self.is_system else f"gui/{os.getuid()}"

    @property
    def _logs(self) -> Path:
        return (Path("/") if self.is_system else Path.home()) / "Library" / "Logs" / "pco-sync"

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _file(self, name: str) -> Path:
        return self.folder / f"{_label(name)}.plist"

    def _ask(self, *words: str) -> str:
        done = self._run(*words)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise ServiceError(f"launchctl {' '.join(words)} failed: {said or 'it said nothing'}")
        return done.stdout

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["launchctl", *words]
        return subprocess.run(command, check=False, capture_output=True, text=True)


def _label(name: str) -> str:
    return f"org.{name}"
