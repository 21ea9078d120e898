"""Processes that read one church by OAuth: `python -m tests.connections.forked`, told what to do by lines of JSON.

The program forks, so that each process costs what a process costs and not its imports. It answers each line with one:

- `{"stay": 32}`: fork so many that stay. The answer comes when each of them has read a page.
- `{"all": {"advance": 7201, "delays": [0.01, ...]}}`: all of them read a page, each after its delay, by a clock that is
  ahead. The answer is the list of what they found: `ok`, or the error.
- `{"one": {"point": "answered", "signal": 9}}`: fork one that renews, reads a page, and sends itself the signal at the
  named point. The answer has its `pid` and what it `found`; none if it was killed or stopped there.
- `{"go_on": pid}`: wake one that was stopped; what it found in the end. `{"wait": pid}`: until one ends.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

import httpx

from pco_client.errors import PcoError
from pco_client.oauth import TokenPair
from pco_client.token_endpoint import TokenEndpoint
from pco_simulator.controls import Church
from pco_store.connections.renewal_lock import SILENCE_SECONDS, RenewalLock
from pco_store.connections.sealing import TokenKeys
from pco_store.database import Database
from pco_store.errors import StoreError
from tasks.connections.oauth_credential import OAuthCredential
from tasks.connections.renewing import Patience, Renewal
from tests.connections.consenting import PEOPLE, Connected
from tests.plain_http import NOBODY

POINTS: Final = ("before the request", "sent", "answered", "saved", "committed", "used")
"""Where a process can end. `sent`: whoever looks at the provider sends the signal, once it has the request."""
SHORT_SILENCE: Final = 0.5
"""For the lock of a process that is to be stopped: others need not wait long for it. Those that stay keep the default,
or a machine that does much else would take the lock from whoever is only slow.
"""
HTTP: Final = httpx.AsyncClient(verify=NOBODY, timeout=30, trust_env=False)
"""Each process has its copy, and opens connections of its own: only its certificates were read before the fork."""


class _Process:
    """What one process has open."""

    def __init__(self, told: dict[str, str]) -> None:
        self.ahead = 0.0
        self.http = HTTP
        self.database = Database(told["database_url"], pool_size=1)
        self.church = Connected(
            org_id=told["org_id"],
            database=self.database,
            simulator=Church(app_id="", secret="", base_url=told["base_url"]),
            keys=TokenKeys([told["key"]]),
            http=self.http,
        )

    def credential(self, silence_seconds: float = SILENCE_SECONDS) -> OAuthCredential:
        patience = Patience(lock_seconds=30, silence_seconds=silence_seconds)
        return self.church.credential(
            patience=patience, answer_seconds=20, now=lambda: time.monotonic() + self.ahead, sleep=asyncio.sleep
        )

    async def read(self, credential: OAuthCredential) -> str:
        """`ok` if a page came, else the error."""
        try:
            fetched = await self.church.reader(credential).fetch_page(PEOPLE, expected_type="Person")
        except (PcoError, StoreError) as error:
            return f"{type(error).__name__}: {error}"
        return "ok" if len(fetched.page.records) == 5 else "another page"

    async def aclose(self) -> None:
        await self.http.aclose()
        await self.database.aclose()


async def _stay(told: dict[str, str], commands: int, results: int) -> None:
    """Read a page for each command."""
    process, reader = _Process(told), os.fdopen(commands)
    credential = process.credential()
    command: dict[str, Any] = {"advance": 0, "delay": 0}
    while True:
        process.ahead += command["advance"]
        await asyncio.sleep(command["delay"])
        _tell(results, await process.read(credential))
        line = await asyncio.to_thread(reader.readline)
        if not line:
            return
        command = json.loads(line)


async def _once(told: dict[str, str], results: int, point: str | None, number: int) -> None:
    """Renew what is due and read a page; end at the point."""
    process = _Process(told)
    if point is not None:
        _end_at(point, number)
    found = await process.read(process.credential(SHORT_SILENCE))
    if found == "ok" and point == "used":
        os.kill(os.getpid(), number)
    _tell(results, found)
    await process.aclose()


def _end_at(point: str, number: int) -> None:
    """Send this process the signal there, once. The steps are those of `Renewal`, in their order."""
    left = [point]
    refresh, save, follow = TokenEndpoint.refresh, RenewalLock.save, Renewal.follow

    def end(here: str) -> None:
        if here in left:
            left.clear()
            os.kill(os.getpid(), number)

    async def refreshing(self: TokenEndpoint, refresh_token: str) -> TokenPair:
        end("before the request")
        pair = await refresh(self, refresh_token)
        end("answered")
        return pair

    async def saving(self: RenewalLock, *words: Any, **options: Any) -> bool:
        is_saved = await save(self, *words, **options)
        end("saved")
        return is_saved

    async def following(self: Renewal, version: int) -> Any:
        found = await follow(self, version)
        end("committed")
        return found

    TokenEndpoint.refresh = refreshing  # type: ignore[method-assign]
    RenewalLock.save = saving  # type: ignore[method-assign]
    Renewal.follow = following  # type: ignore[method-assign]


def _tell(results: int, found: str) -> None:
    os.write(results, (json.dumps(found) + "\n").encode())


def _fork(work: Callable[[], Coroutine[Any, Any, None]], *close: int) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for one in (sys.stdin.fileno(), *close):
                os.close(one)
            asyncio.run(work())
            code = 0
        finally:
            os._exit(code)
    return pid


class _Program:
    def __init__(self, told: dict[str, str]) -> None:
        self.told = told
        self.staying: list[tuple[int, int]] = []
        self.alone: dict[int, int] = {}
        self.results_in, self.results_out = os.pipe()
        self.results = os.fdopen(self.results_in)

    def stay(self, count: int) -> list[str]:
        for _ in range(count):
            commands_in, commands_out = os.pipe()
            others = [commands_out, *(one for _, one in self.staying)]
            pid = _fork(partial(_stay, self.told, commands_in, self.results_out), *others)
            os.close(commands_in)
            self.staying.append((pid, commands_out))
        return self._found(count)

    def all(self, command: dict[str, Any]) -> list[str]:
        for (_, commands), delay in zip(self.staying, command["delays"], strict=True):
            os.write(commands, (json.dumps({"advance": command["advance"], "delay": delay}) + "\n").encode())
        return self._found(len(self.staying))

    def one(self, command: dict[str, Any]) -> dict[str, Any]:
        results_in, results_out = os.pipe()
        point, number = command.get("point"), command.get("signal", 0)
        pid = _fork(partial(_once, self.told, results_out, point, number), results_in)
        os.close(results_out)
        self.alone[pid] = results_in
        if point == "sent":
            return {"pid": pid, "found": None}
        return self.wait(pid)

    def wait(self, pid: int) -> dict[str, Any]:
        """Until it ends or stops."""
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            return {"pid": pid, "found": None}
        with os.fdopen(self.alone.pop(pid)) as results:
            line = results.readline()
        return {"pid": pid, "found": json.loads(line) if line else None}

    def go_on(self, pid: int) -> dict[str, Any]:
        os.kill(pid, signal.SIGCONT)
        return self.wait(pid)

    def _found(self, count: int) -> list[str]:
        return [json.loads(self.results.readline()) for _ in range(count)]


def main() -> None:
    """Until the input ends; then everything that was forked ends."""
    program = _Program(json.loads(sys.argv[1]))
    for line in sys.stdin:
        ((what, command),) = json.loads(line).items()
        sys.stdout.write(json.dumps(getattr(program, what)(command)) + "\n")
        sys.stdout.flush()
    for pid in [*(one for one, _ in program.staying), *program.alone]:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
