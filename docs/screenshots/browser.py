"""A headless Chromium that is looked at only when the page shows what it should: DevTools over one WebSocket."""

import asyncio
import base64
import itertools
import json
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from websockets.asyncio.client import ClientConnection, connect

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE: Final = 60.0


class BrowserError(Exception):
    """There is no Chromium, or the page never showed what was waited for."""


class Tab:
    """One page of the browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One DevTools command and its result. Raises `BrowserError`."""
        number = next(self._numbers)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(await asyncio.wait_for(self._socket.recv(), PATIENCE))
            if answer.get("id") == number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    async def open(self, url: str) -> None:
        """Go to an address."""
        await self.send("Page.navigate", url=url)

    async def wait_for_text(self, pattern: str) -> None:
        """Until the visible text matches. Raises `BrowserError` with what stood there instead."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not re.search(pattern, text := str(await self.evaluate("document.body?.innerText ?? ''"))):
            if asyncio.get_running_loop().time() > deadline:
                raise BrowserError(f"the page never showed {pattern!r}, but: {text[:500]}")
            await asyncio.sleep(0.25)

    async def click(self, text: str) -> None:
        """Click the innermost element with exactly this text. Raises `BrowserError`."""
        found = await self.evaluate(
            f"""(() => {{
                const all = [...document.querySelectorAll('body *')];
                const one = all.filter(element => element.innerText?.trim() === {json.dumps(text)}).at(-1);
                one?.click();
                return Boolean(one);
            }})()"""
        )
        if not found:
            raise BrowserError(f"nothing on the page reads {text!r}")

    async def picture(self, file: Path) -> None:
        """Save what is visible as PNG."""
        answer = await self.send("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(answer["data"]))  # noqa: ASYNC240 - nothing else goes on meanwhile


@asynccontextmanager
async def opened_tab(*, width: int, height: int) -> AsyncIterator[Tab]:
    """A browser with one tab of this size, and a profile of its own. Raises `BrowserError`."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        raise BrowserError(f"none of {', '.join(NAMES)} is installed; on Debian and Ubuntu: apt install chromium")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program, "--headless=new", *sandbox, "--hide-scrollbars", "--no-first-run", "--disable-gpu",
            "--remote-debugging-port=0", f"--user-data-dir={profile}", f"--window-size={width},{height}",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port = await _port(Path(profile) / "DevToolsActivePort", process)
            async with httpx.AsyncClient(trust_env=False) as http:
                tabs = (await http.get(f"http://127.0.0.1:{port}/json/list")).json()
            address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
            async with connect(address, max_size=None, proxy=None) as socket:
                tab = Tab(socket)
                await tab.send(
                    "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
                )
                yield tab
        finally:
            process.terminate()
            await process.wait()


async def _port(file: Path, process: asyncio.subprocess.Process) -> int:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not (lines := _lines(file)):
        if process.returncode is not None or asyncio.get_running_loop().time() > deadline:
            raise BrowserError("Chromium did not start")
        await asyncio.sleep(0.1)
    return int(lines[0])


def _lines(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []
