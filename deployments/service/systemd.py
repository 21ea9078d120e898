"""systemd: units of a user, or of the machine for root."""

import getpass
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deployments.provisioning.declared import PROJECT
from deployments.service.programs import NAMES, Program, owner
from deployments.service.states import ServiceError, State

BOOTED = Path("/run/systemd/system")
"""Is there where systemd runs the machine."""


@dataclass(frozen=True, kw_only=True)
class Systemd:
    """The units in one folder, and the manager that runs them."""

    is_system: bool

    @property
    def folder(self) -> Path:
        """Where the units lie."""
        return Path("/etc/systemd/system") if self.is_system else Path.home() / ".config" / "systemd" / "user"

    @property
    def settings_file(self) -> Path:
        """What they are started with."""
        return (Path("/etc") if self.is_system else Path.home() / ".config") / "pco-sync" / "service.env"

    def installed(self) -> list[str]:
        """The names of the units that are there."""
        return [name for name in NAMES if self._file(name).exists()]

    def install(self, programs: Sequence[Program], settings: object) -> str | None:
        """Write the units, start them now and with the machine; what is still to be done, or None.

        Raises `ServiceError`.
        """
        self._ask("daemon-reload")  # nothing is written where no manager answers
        self.remove([name for name in self.installed() if name not in {one.name for one in programs}])
        self.folder.mkdir(parents=True, exist_ok=True)
        for one in programs:
            self._file(one.name).write_text(self.unit(one), encoding="utf-8")
        names = [f"{one.name}.service" for one in programs]
        self._ask("daemon-reload")
        self._ask("enable", *names)
        self._ask("restart", *names)
        return None if self.is_system else _linger()

    def remove(self, names: Sequence[str]) -> None:
        """Stop units, and remove them. Raises `ServiceError`."""
        if not names:
            return
        self._ask("disable", "--now", *(f"{name}.service" for name in reversed(names)))
        for name in names:
            self._file(name).unlink(missing_ok=True)
        self._ask("daemon-reload")

    def state(self, name: str) -> State:
        """Raises `ServiceError`."""
        told = self._ask("show", "--property=UnitFileState,ActiveState,SubState,NRestarts", f"{name}.service")
        found = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
        active, sub = found.get("ActiveState", ""), found.get("SubState", "")
        return State(
            name=name,
            runs=active == "active",
            told=f"{active} ({sub}), restarted {found.get('NRestarts', '0')} times",
            starts_with_the_machine=found.get("UnitFileState") == "enabled" and (self.is_system or _lingers()),
        )

    def log_command(self, name: str) -> str:
        """What shows a person its log."""
        return f"journalctl {'' if self.is_system else '--user '}-u {name}"

    def unit(self, program: Program) -> str:
        """The text of a unit."""
        order = [f"After={program.after}.service", f"Wants={program.after}.service", f"PartOf={program.after}.service"]
        network = ["After=network-online.target", "Wants=network-online.target"]
        lines = [
            "# Written by: pco-sync service install",
            "[Unit]",
            f"Description={program.description}",
            *(order if program.after else []),
            *(network if self.is_system else []),
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            *(["Type=notify", "NotifyAccess=main"] if program.says_when_ready else ["Type=exec"]),
            *([f"User={owner()}"] if self.is_system else []),
            f"WorkingDirectory={_escaped(str(PROJECT))}",
            f"EnvironmentFile=-{_escaped(str(self.settings_file))}",
            f"ExecStart={' '.join(_quoted(word) for word in program.command)}",
            "Restart=always",
            "RestartSec=5",
            "TimeoutStartSec=15min",
            f"TimeoutStopSec={program.stop_seconds}",
            "# Only the program itself is told to stop: it ends what it has started, in order.",
            "KillMode=mixed",
            "",
            "[Install]",
            f"WantedBy={'multi-user.target' if self.is_system else 'default.target'}",
        ]
        return "\n".join(lines) + "\n"

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.service"

    def _ask(self, *words: str) -> str:
        command = ["systemctl", *(() if self.is_system else ("--user",)), "--no-pager", *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout
        said = done.stderr.strip()
        if "connect to bus" in said:
            raise ServiceError(
                "systemd does not serve this user in this session: log in as the user itself (by ssh or on the screen, "
                "not by su or sudo), or run it as root for a service of the machine"
            )
        raise ServiceError(f"systemctl {' '.join(words)} failed: {said.splitlines()[0] if said else 'it said nothing'}")


def _lingers() -> bool:
    """Whether the user's services start with the machine, before the user logs in."""
    return (Path("/var/lib/systemd/linger") / getpass.getuser()).exists()


def _linger() -> str | None:
    command = ["loginctl", "enable-linger"]
    done = subprocess.run(command, check=False, capture_output=True)
    if done.returncode == 0:
        return None
    return f"It starts when you log in. To start with the machine: sudo loginctl enable-linger {getpass.getuser()}"


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    escaped = _escaped(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"' if escaped != word or any(letter.isspace() or letter in "';" for letter in word) else word
