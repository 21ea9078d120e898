"""`python3 -m deployments.install .venv [dev]`: makes the virtual environment, and shows that it is alive meanwhile.

Runs with the standard library of any Python 3, because it is what installs the rest.
"""

from __future__ import annotations  # so that an old Python can say that it is too old

import fcntl
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence

NEEDED = (3, 11)
SIGN_EVERY = 4.0
"""Seconds between lines in a log; a terminal is brought up to date every quarter of a second."""
OURSELVES = ("--no-deps", "--no-build-isolation", "--editable", ".")
"""What pip takes to install the project beside its locked dependencies, among which is what builds it."""
MARKERS = {"embedded": (".ready",), "dev": (".ready", ".ready-dev")}
"""What make looks for, newest of all when everything is there."""


class Sign:
    """The line that says what happens now."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._begun = self._last = time.monotonic()
        self._what = ""

    def show(self, what: str) -> None:
        """What happens now; in a log at most one line every few seconds."""
        self._what = what
        self.keep_alive()

    def keep_alive(self) -> None:
        """Called several times a second."""
        now = time.monotonic()
        if now - self._last < (0.25 if self._is_terminal else SIGN_EVERY):
            return
        self._last = now
        line = f"  {self._what} ({now - self._begun:.0f} s)"
        if self._is_terminal:
            sys.stdout.write("\r\x1b[K" + line[: os.get_terminal_size().columns - 1])
        else:
            sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def end(self, line: str) -> None:
        """The last line."""
        sys.stdout.write(("\r\x1b[K" if self._is_terminal else "") + line + "\n")
        sys.stdout.flush()


def main(folder: str, kind: str = "embedded") -> int:
    """Install; the exit code."""
    if sys.version_info < NEEDED:
        return _fail("{} is Python {}.{}; 3.11 or newer is needed".format(sys.executable, *sys.version_info[:2]))
    try:
        import ensurepip
        import venv
    except ImportError:
        return _fail(sys.executable + " has no venv module; on Debian and Ubuntu: apt install python3-venv")
    del ensurepip, venv
    what = (
        "what the servers, the flows and the demo need" if kind == "embedded" else "everything, with the tests' tools"
    )
    version = "{}.{}.{}".format(*sys.version_info[:3])
    sys.stdout.write(f"setting up {folder} with Python {version}: {what}\n")
    sys.stdout.write("  once only; one to five minutes, by the network and the machine\n")
    sys.stdout.flush()
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, ".installing"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `make -j` and a second terminal take turns
        sign = Sign()
        python = os.path.join(folder, "bin", "python")
        if not os.path.exists(os.path.join(folder, "bin", "pip")):
            failed = _run([sys.executable, "-m", "venv", folder], sign, lambda _: "making the environment")
            if failed is not None:
                return _fail("python -m venv failed: " + failed)
        told = _Pip(folder)
        pip = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
        for what_of in (["--require-hashes", "--requirement", f"locks/{kind}.txt"], OURSELVES):
            failed = _run([*pip, *what_of], sign, told.read, told.look)
            if failed is not None:
                return _fail("pip install failed: " + failed)
        for marker in MARKERS[kind]:
            with open(os.path.join(folder, marker), "w"):
                pass
        sign.end(f"  installed {told.installed()} packages")
    return 0


class _Pip:
    """What pip says, in words that fit a line."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._found = self._total = 0
        self._before = self.installed()

    def read(self, line: str) -> str | None:
        """What a line of pip's output means; None for nothing new."""
        collecting = re.match(r"Collecting ([A-Za-z0-9._-]+)", line)
        if collecting:
            self._found += 1
            return f"finding package {self._found}: {collecting.group(1)}"
        downloading = re.match(r"\s+Downloading (\S+?)(?:-\d\S*)? \((.+)\)", line)
        if downloading:
            return "downloading package {}: {}, {}".format(self._found, *downloading.groups())
        if line.startswith("Installing collected packages:"):
            self._total = line.count(",") + 1
            self._before = self.installed()
            return f"installing {self._total} packages"
        return None

    def look(self) -> str | None:
        """What can be seen without pip, which says nothing while it installs; None while it does not."""
        if not self._total:
            return None
        done = self.installed() - self._before
        if done >= self._total:
            return f"compiling the last of {self._total} packages"
        return f"installing package {done + 1} of {self._total}"

    def installed(self) -> int:
        """How many packages are there."""
        count = 0
        for folder, _, _ in os.walk(os.path.join(self._folder, "lib")):
            if os.path.basename(folder) == "site-packages":
                count += sum(name.endswith(".dist-info") for name in os.listdir(folder))
                break
        return count


def _run(
    command: Sequence[str],
    sign: Sign,
    read: Callable[[str], str | None],
    look: Callable[[], str | None] = lambda: None,
) -> str | None:
    """Run a command, and show what it says; None, or its last words if it failed."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONHOME", "PIP_QUIET")}
    environment["PYTHONUNBUFFERED"] = "1"
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_collect, args=(process.stdout or (), lines), daemon=True).start()
    said: list[str] = []
    sign.show(read("") or "looking for the packages")
    while True:
        try:
            line = lines.get(timeout=0.25)
        except queue.Empty:
            seen = look()
            sign.show(seen) if seen else sign.keep_alive()
            continue
        if line is None:
            break
        said.append(line.rstrip())
        told = read(line)
        sign.show(told) if told else sign.keep_alive()
    if process.wait() == 0:
        return None
    sign.end("")
    return "\n".join(["", *said[-12:]]) if said else "it said nothing"


def _collect(stream: Iterable[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _fail(line: str) -> int:
    sys.stderr.write(f"error: {line}\n")
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; run it again and it continues\n")
        sys.exit(130)
