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

    def start(self, tell: Callable[[str], None] = lambda _: None) -> None:
        """Start what does not run. Raises `ServerStartError`, `OSError`, `subprocess.SubprocessError`."""
        with self._alone():
            tell("PostgreSQL")
            self.postgres.start()
            self.postgres.create_database(MIRROR_DATABASE)
            self.postgres.create_database(PREFECT_DATABASE)
            tell("Redis")
            self.redis.start()
            tell("Prefect server")
            self.prefect.start(
                self.postgres.url(PREFECT_DATABASE, "postgresql+asyncpg"),
                self.redis.database_url(MESSAGING_DATABASE),
            )

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
