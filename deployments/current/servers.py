"""The embedded servers: what runs, where, and whether it answers; and where they are, for a shell."""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import psutil
from rich.console import Console

from deployments.environment import embedded_environment
from deployments.exit_codes import DONE, FAILED
from deployments.terminal import print_plain
from embedded.services import MIRROR_DATABASE, Services
from pco_network.proxies import added_for_proxies

ADDRESSES = ("PREFECT_API_URL", "PCO_SYNC_REDIS_URL")
"""Of servers that may come back at another port; PostgreSQL's socket stays where it is."""


def show_servers(services: Services, console: Console, *, as_json: bool) -> tuple[dict[str, Any], int]:
    """Print each embedded server and what is wrong with it; what a program is told, and 0 if everything answers."""
    troubles = services.troubles() if services.has_any else {}
    is_up = bool(troubles) and not any(troubles.values())
    strays = list(stray_workers(services)) if is_up else []
    code = DONE if is_up and not strays else FAILED
    ui = services.prefect.ui_url if troubles and troubles["Prefect server"] is None else None
    port = services.postgres.port
    readers = f"127.0.0.1:{port}" if port else None
    facts = {
        "servers": troubles,
        "stray_workers": strays,
        "prefect_ui": ui,
        "for_readers": readers,
        "data": str(services.home),
    }
    if as_json:
        return facts, code
    if not troubles:
        console.print("nothing runs; `make up` starts the servers")
        return facts, code
    for name, trouble in troubles.items():
        told = "[green]answers[/]" if trouble is None else f"[red]{trouble}[/]"
        console.print(f"{name:<15} {told}", highlight=False, soft_wrap=True)
    for pid in strays:
        console.print(
            f"worker          [red]process {pid} still asks where a server was[/]; end it, and start it again",
            highlight=False,
            soft_wrap=True,
        )
    if ui:
        console.print(f"Prefect UI      {ui}", highlight=False)
    if readers:
        console.print(f"for readers     {readers} (`pco-sync churches reader` makes logins)", highlight=False)
    psql = shlex.join(services.postgres.psql_command(MIRROR_DATABASE))
    print_plain(console, f"psql            {psql}", f"data            {services.home}")
    if any(troubles.values()):
        console.print("`make up` starts again what does not answer")
    return facts, code


def print_environment(services: Services) -> int:
    """Print the variables for a shell's `eval`; psql and pg_dump are then those of the server.

    Raises `ServersNotFoundError`, `ProxySettingWrong`.
    """
    environment = embedded_environment(services)
    for name, value in {**environment, **added_for_proxies({**os.environ, **environment})}.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    sys.stdout.write(f'export PATH={shlex.quote(str(services.postgres.programs))}:"$PATH"\n')
    return DONE


def stray_workers(services: Services) -> Iterator[int]:
    """The workers of this data folder that were started with the address of a server that has moved since."""
    right = services.environment()
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "worker" not in command or "start" not in command or process.pid == os.getpid():
            continue
        try:
            known: Mapping[str, str] = process.environ()
        except (psutil.Error, OSError):
            continue
        if known.get("PREFECT_HOME") == right["PREFECT_HOME"] and _is_stray(known, right):
            yield process.pid


def _is_stray(known: Mapping[str, str], right: Mapping[str, str]) -> bool:
    asked = (name for name in ADDRESSES if name not in os.environ)  # those of a server of one's own are right
    return any(name in known and known[name] != right[name] for name in asked)
