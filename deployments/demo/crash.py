"""`make demo-crash`: a worker is killed in the middle of a fan-out, and the rest goes on by itself."""

import signal
import time
from contextlib import ExitStack
from typing import Final

import psutil
from rich.console import Console

from deployments.demo.fan_outs import MEMBERSHIPS
from deployments.demo.people import ORG, prepare_demo, start_worker, tick
from deployments.interrupts import interrupts
from deployments.operations.sync import watch_to_the_end
from deployments.provisioning.declared import declared_pool
from deployments.transaction import transaction
from deployments.waiting import SIGN_EVERY
from deployments.watching.fan_outs import FanOutView
from embedded.services import Services
from pco_store.ledger.fan_out.fan_outs import count_repeats
from tasks.deployment_runs import start_fan_out
from tasks.reports.fan_out_summary import FanOutSummary

GROUPS: Final = 90


def run_crash_demo(services: Services, console: Console, running: ExitStack) -> bool:
    """Two workers, one of which is killed with children in flight. Whether every child was done exactly once."""
    prepare_demo(services, console, running, groups=GROUPS, rate_limit="none", latency_ms=400)
    victim = start_worker(services, running, name="worker", limit=6)
    start_worker(services, running, name="worker-2", limit=6)
    tick(console, "workers", f"two processes on the work pool {declared_pool()}")
    console.print()
    return interrupts.run(_run(console, victim))


async def _run(console: Console, victim: int) -> bool:
    killed: list[tuple[float, int]] = []

    def kill(view: FanOutView) -> None:
        if not killed and view.counts.completed >= view.counts.children // 4 and view.counts.running >= 4:
            for process in (*psutil.Process(victim).children(recursive=True), psutil.Process(victim)):
                process.send_signal(signal.SIGKILL)
            killed.append((time.monotonic(), view.counts.running))
            console.print(
                f"  [red]kill -9[/] of a worker; {view.counts.running} children were running on both", highlight=False
            )

    started = await start_fan_out(ORG, MEMBERSHIPS, most_under_way=40)
    result = await watch_to_the_end(
        started.flow_run, ORG, MEMBERSHIPS, console, below=True, on_view=kill, print_every=SIGN_EVERY
    )
    if not isinstance(result, FanOutSummary):
        console.print(f"\n[red]the fan-out did not run[/]: {result.reason}", soft_wrap=True)
        return False
    async with transaction() as connection:
        again, doubled = await count_repeats(connection, result.key)
    console.print()
    tick(console, "children", f"{result.done} of {result.children} done, {result.dead} dead")
    tick(console, "done twice", f"{doubled}")
    tick(console, "begun again", f"{again}, on the worker that lived")
    if killed:
        tick(console, "after the kill", f"all done in {time.monotonic() - killed[0][0]:.1f} s, by nobody's hand")
    return result.done == result.children and not doubled
