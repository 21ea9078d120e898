"""The three servers of one data folder, started and stopped together."""

import fcntl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from embedded.postgres import Postgres
from embedded.prefect_server import PrefectServer
from embedded.redis_server import RedisServer

MIRROR_DATABASE = "pco"
PREFECT_DATABASE = "prefect"
MESSAGING_DATABASE = 1
"""The number of the Redis database in which the Prefect server's events travel."""


class Services:
    """PostgreSQL, Redis and the Prefect server. They go on running when this process ends, until `stop`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.postgres = Postgres(home)
        self.redis = RedisServer(home)
        self.prefect = PrefectServer(home)

    @property
    def is_running(self) -> bool:
        """Whether all three can be used."""
        try:
            return bool(self.redis.url and self.prefect.api_url) and self.postgres.is_running
        except RuntimeError:
            return False

    @property
    def has_any(self) -> bool:
        """Whether any of the three runs, usable or not."""
        return self._prefect_runs or self.redis.port is not None or self.postgres.is_running

    def keep(self) -> None:
        """They shall stay up when a demo ends that started them."""
        (self.home / "kept").write_text(self._generation)

    @property
    def is_kept(self) -> bool:
        """Whether `keep` was called since the Prefect server was started."""
        try:
            return (self.home / "kept").read_text() == self._generation != ""
        except OSError:
            return False

    def start(self, report: Callable[[str], None] = lambda _: None) -> None:
        """Start what does not run, and again what does not answer or points to where another server was.

        `report` is called with what happens next. Raises `ServerStartError`, `OSError`, `subprocess.SubprocessError`.
        """
        with self._alone():
            if self.postgres.is_running and not self.postgres.answers():
                report("stopping PostgreSQL, which does not answer")
                self.postgres.stop()
            if not self.postgres.is_running:
                report("starting PostgreSQL")
            self.postgres.start()
            self.postgres.create_database(MIRROR_DATABASE)
            self.postgres.create_database(PREFECT_DATABASE)
            if self.redis.port is not None and not self.redis.answers():
                report("stopping Redis, which does not answer")
                self.redis.stop()
            if self.redis.port is None:
                report("starting Redis")
            self.redis.start()
            trouble = self._trouble_with_prefect()
            if trouble is not None:
                report(f"stopping the Prefect server: {trouble}")
                self.prefect.stop()
            if not self._prefect_runs:
                report("starting the Prefect server")
            self.prefect.start(
                self.postgres.url(PREFECT_DATABASE, "postgresql+asyncpg"),
                self.redis.database_url(MESSAGING_DATABASE),
            )

    def troubles(self) -> Mapping[str, str | None]:
        """Each server, and what is wrong with it; None if it answers."""
        return {
            "PostgreSQL": _trouble(self.postgres.is_running, self.postgres.answers),
            "Redis": _trouble(self.redis.port is not None, self.redis.answers),
            "Prefect server": self._trouble_with_prefect() if self._prefect_runs else "it does not run",
        }

    @property
    def _generation(self) -> str:
        return str(self.prefect.pid or "")

    @property
    def _prefect_runs(self) -> bool:
        return self.prefect.pid is not None

    def _trouble_with_prefect(self) -> str | None:
        """What a restart of a server that runs would repair."""
        if not self._prefect_runs:
            return None
        believed, port = self.prefect.redis_port, self.redis.port
        if believed is not None and believed != port:
            return f"it looks for Redis on port {believed}, and Redis is {f'on port {port}' if port else 'away'}"
        return None if self.prefect.answers() else "it does not answer"

    def stop(self) -> tuple[str, ...]:
        """End what runs; the names of what was ended."""
        with self._alone():
            ended = {
                "Prefect server": self.prefect.stop(),
                "Redis": self.redis.stop(),
                "PostgreSQL": self.postgres.stop(),
            }
        return tuple(name for name, ran in ended.items() if ran)

    def environment(self) -> Mapping[str, str]:
        """The variables with which a program finds the servers."""
        return {
            "PREFECT_API_URL": self.prefect.api_url,
            "PREFECT_HOME": str(self.home / "prefect"),
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
            "DO_NOT_TRACK": "1",  # Prefect's client reports its use to its makers otherwise
            "PCO_SYNC_DATABASE_URL": self.postgres.url(MIRROR_DATABASE),
            "PCO_SYNC_REDIS_URL": self.redis.url,
        }

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two commands at a time on one data folder wait for each other."""
        with (self.home / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _trouble(is_running: bool, answers: Callable[[], bool]) -> str | None:
    if not is_running:
        return "it does not run"
    return None if answers() else "it does not answer"
