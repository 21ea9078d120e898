"""What a supervisor starts and keeps running, and the settings that it gives to it."""

import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployments.environment import NEEDED, ServersNotFoundError, embedded_services
from deployments.provisioning.declared import PROJECT
from pco_worker.settings import WarmWorkerSettings

SERVERS: Final = "pco-sync-servers"
WORKER: Final = "pco-sync-worker"
NAMES: Final = (SERVERS, WORKER)

STOP_SECONDS: Final = 90
"""What the servers may take to stop: PostgreSQL writes what is in its memory."""
MARGIN_SECONDS: Final = 20
"""On top of what a worker gives its runs."""

KEPT: Final = ("PCO_SYNC_", "PCO_WORKER_", "PREFECT_")
ALSO_KEPT: Final = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "XDG_DATA_HOME"})


@dataclass(frozen=True, kw_only=True)
class Program:
    """One thing that runs until it is told to stop; the seconds that it may take for that."""

    name: str
    description: str
    arguments: tuple[str, ...]
    stop_seconds: int
    says_when_ready: bool = False
    after: str | None = None

    @property
    def command(self) -> list[str]:
        """What is executed, in the folder of the checkout."""
        return [str(Path(sys.executable).with_name("pco-sync")), *self.arguments]


def programs(environment: Mapping[str, str]) -> list[Program]:
    """The worker, and the embedded servers before it unless all servers are named."""
    told = {name.removeprefix("PCO_WORKER_").lower(): value for name, value in environment.items()}
    limits = WarmWorkerSettings.model_validate(told)
    stop_seconds = int(limits.drain_seconds + limits.cleanup_seconds) + MARGIN_SECONDS
    worker = Program(
        name=WORKER, description="pco-sync: the worker", arguments=("worker",), stop_seconds=stop_seconds, after=SERVERS
    )
    if all(environment.get(name) for name in NEEDED):
        return [worker]
    servers = Program(
        name=SERVERS,
        description="pco-sync: PostgreSQL, Redis and the Prefect server",
        arguments=("up", "--foreground"),
        stop_seconds=STOP_SECONDS,
        says_when_ready=True,
    )
    return [servers, worker]


def kept_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Those variables that are ours, without the addresses of the embedded servers, which may change."""
    kept = {
        name: value
        for name, value in environment.items()
        if value and (name.startswith(KEPT) or name.upper() in ALSO_KEPT)
    }
    if any(name in kept for name in NEEDED):
        with suppress(ServersNotFoundError, RuntimeError):
            for name, value in embedded_services().environment().items():
                if kept.get(name) == value:
                    del kept[name]
    return kept


def read_settings_file(file: Path) -> dict[str, str]:
    """The variables of a file of `NAME="value"` lines; none if there is no file. Raises `OSError`."""
    if not file.exists():
        return {}
    told = shlex.split(file.read_text(encoding="utf-8"), comments=True)
    return dict(one.split("=", 1) for one in told if "=" in one)


def write_settings_file(file: Path, settings: Mapping[str, str]) -> None:
    """Write the variables, for their owner's eyes only: secrets are among them. Raises `OSError`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = ["# What pco-sync's service is started with. After a change: pco-sync service install"]
    for name, value in sorted(settings.items()):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'{name}="{escaped}"')
    made = file.with_suffix(".new")
    made.unlink(missing_ok=True)
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as output:
        output.write("\n".join(lines) + "\n")
    made.replace(file)


def owner() -> str:
    """The user to whom the checkout belongs; a service of the whole machine runs as this one."""
    return PROJECT.owner()
