"""Prefect's own server, on the embedded PostgreSQL."""

import http.client
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from embedded.server_process import ServerProcess, free_port, inherited_environment

PREFERRED_PORT: Final = 4200

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

    def start(self, database_url: str) -> None:
        """Start the server unless it runs; its tables are made the first time. Raises `ServerStartError`."""
        if self._process.running() is not None:
            return
        port = free_port(PREFERRED_PORT)
        self._process.start(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            environment=inherited_environment(
                **SETTINGS,
                PREFECT_HOME=str(self._home / "prefect"),
                PREFECT_API_DATABASE_CONNECTION_URL=database_url,
                PREFECT_UI_API_URL=f"http://127.0.0.1:{port}/api",
            ),
            is_ready=lambda: _is_healthy(port),
            facts={"port": port},
            patience=120,
        )

    def stop(self) -> bool:
        """End the server; whether it ran."""
        return self._process.stop()


def _is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/api/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
