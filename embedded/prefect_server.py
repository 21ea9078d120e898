"""Prefect's own server, on the embedded PostgreSQL."""

import http.client
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from embedded.server_process import ServerProcess, inherited_environment, on_free_port

PREFERRED_PORT: Final = 4200
PATIENCE: Final = 20.0
"""Seconds for an answer: a busy server takes some."""

SETTINGS: Final[Mapping[str, str]] = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # nothing about a church's runs leaves the machine
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",  # never a second, hidden server
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    # One transaction for each task-run event costs half of the server's time; a second late is early enough for the UI.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",
    # Runs live for 30 days, with their logs and artifacts; events for 7, the default.
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": "2592000",
    # Children wait their turn; to mark each of them as late after 15 s costs one more transition per child.
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "3600",
    # The default of 5 opens and closes connections all the time under load; plans that are kept need not be made again.
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE": "20",
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_STATEMENT_CACHE_SIZE": "1000",
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_PREPARED_STATEMENT_CACHE_SIZE": "1000",
}

REDIS_SETTINGS: Final[Mapping[str, str]] = {
    # Events, their order and the leases of concurrency slots outlive a restart of the server, and may be shared by
    # several servers behind one address.
    "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
    "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
}


class PrefectServer:
    """The Prefect server of one data folder."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._process = ServerProcess(name="prefect-server", home=home)

    @property
    def ui_url(self) -> str:
        """Where a person looks. Raises `RuntimeError` when the server does not run."""
        running = self._process.running()
        if running is None:
            raise RuntimeError("the Prefect server does not run")
        return f"http://127.0.0.1:{running['port']}"

    @property
    def api_url(self) -> str:
        """What `PREFECT_API_URL` is set to."""
        return f"{self.ui_url}/api"

    @property
    def pid(self) -> int | None:
        """Its process; None when it does not run."""
        running = self._process.running()
        return None if running is None else running["pid"]

    @property
    def redis_port(self) -> int | None:
        """Where it was told that Redis listens; None if it does not run, or was told of none."""
        running = self._process.running()
        return None if running is None else running.get("redis_port")

    def answers(self, patience: float = PATIENCE) -> bool:
        """Whether it answers, and reaches its database."""
        running = self._process.running()
        if running is None:
            return False
        deadline = time.monotonic() + patience
        while not (_answers(running["port"], "/api/health") and _answers(running["port"], "/api/ready")):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def start(self, database_url: str, redis_url: str | None = None) -> None:
        """Start the server unless it runs; its tables are made the first time. Raises `ServerStartError`.

        With a Redis its events travel through that, as several servers side by side would need.
        """
        if self._process.running() is not None:
            return
        port = self._process.last_port() or PREFERRED_PORT  # workers go on asking where the server was
        on_free_port(port, lambda port: self._start(port, database_url, redis_url))

    def _start(self, port: int, database_url: str, redis_url: str | None) -> None:
        facts = {"port": port}
        if redis_url is not None:
            facts["redis_port"] = urlsplit(redis_url).port or 6379
        self._process.start(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            environment=inherited_environment(
                **SETTINGS,
                **({**REDIS_SETTINGS, "PREFECT_REDIS_MESSAGING_URL": redis_url} if redis_url else {}),
                PREFECT_HOME=str(self._home / "prefect"),
                PREFECT_API_DATABASE_CONNECTION_URL=database_url,
                PREFECT_UI_API_URL=f"http://127.0.0.1:{port}/api",
            ),
            is_ready=lambda: _answers(port, "/api/health"),
            facts=facts,
            listens_on=port,
            patience=120,
        )

    def stop(self) -> bool:
        """End the server; whether it ran."""
        return self._process.stop()


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
