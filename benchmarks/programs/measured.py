"""The conversation between a program and the bench: ready, go, result. And the process's own measure of itself."""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What a program did: pages and rows it stored."""

    pages: int
    rows: int


def measured(work: Callable[[], Awaitable[Work]]) -> None:
    """Say that the imports are done, wait for the word, do the work, and report seconds, CPU and memory."""
    _say({"ready": True})
    sys.stdin.readline()
    imports_cpu = time.process_time()
    began_at, began = time.time(), time.perf_counter()
    done = asyncio.run(_awaited(work))
    seconds = time.perf_counter() - began
    _say(
        {
            **asdict(done),
            "began_at": began_at,
            "work_seconds": seconds,
            "work_cpu_seconds": time.process_time() - imports_cpu,
            "peak_rss_mb": _peak_rss_mb(),
        }
    )


async def _awaited(work: Callable[[], Awaitable[Work]]) -> Work:
    return await work()


def _say(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _peak_rss_mb() -> float:
    """Of this program alone: `ru_maxrss` of a child begins with what its parent had, `VmHWM` does not."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024**2 if sys.platform == "darwin" else peak / 1024
