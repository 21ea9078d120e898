"""`make demo-crash`: a worker is killed in the middle of a fan-out, and the rest goes on by itself."""

import os
import signal
import time
from contextlib import ExitStack
from typing import Final

import psutil
from rich.console import Console
from sqlalchemy import text

from deployments.demo.fan_outs import MEMBERSHIPS, epoch_to_run
from deployments.demo.people import ORG, prepare_demo, start_worker, tick
from deployments.interrupts import interrupts
from deployments.provisioning.declared import declared_pool
from deployments.watching.fan_outs import FanOutView, watch_fan_out
from deployments.watching.waiting import SIGN_EVERY
from embedded.services import Services
from pco_store.database import Database
from pco_store.ledger.openings import FAN_OUT_SCOPE, sync_key
from tasks.deployment_runs import start_fan_out

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
    epoch = await epoch_to_run(ORG, MEMBERSHIPS)
    key = sync_key(ORG, MEMBERSHIPS, epoch, FAN_OUT_SCOPE)
    killed: list[tuple[float, int]] = []

    def kill(view: FanOutView) -> None:
        if not killed and view.counts.completed >= view.counts.children // 4 and view.counts.running >= 4:
            for process in (*psutil.Process(victim).children(recursive=True), psutil.Process(victim)):
                process.send_signal(signal.SIGKILL)
            killed.append((time.monotonic(), view.counts.running))
            console.print(
                f"  [red]kill -9[/] of a worker; {view.counts.running} children were running on both", highlight=False
            )

    started = await start_fan_out(ORG, MEMBERSHIPS, epoch=epoch, most_under_way=40)
    view = await watch_fan_out(key, console, flow_run_id=started.flow_run.id, on_view=kill, print_every=SIGN_EVERY)
    again, doubled = await _proof(key)
    counts = view.counts
    console.print()
    tick(console, "children", f"{counts.completed} of {counts.children} done, {counts.dead} dead")
    tick(console, "done twice", f"{doubled}")
    tick(console, "begun again", f"{again}, on the worker that lived")
    if killed:
        tick(console, "after the kill", f"all done in {time.monotonic() - killed[0][0]:.1f} s, by nobody's hand")
    return counts.completed == counts.children and not doubled


async def _proof(key: str) -> tuple[int, int]:
    """How many children were begun more than once, and how many have a page that was committed twice."""
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    try:
        async with database.transaction() as connection:
            result = await connection.execute(
                text(
                    """
                    WITH child AS (
                        SELECT child.* FROM sync.runs AS child
                        JOIN sync.runs AS root ON root.run_id = child.parent_run_id WHERE root.key = :key)
                    SELECT (SELECT count(*) FROM child WHERE attempts > 1),
                           (SELECT count(*) FROM (SELECT 1 FROM child JOIN sync.pages AS page USING (run_id)
                            WHERE page.next_offset IS NULL AND page."offset" = 0
                            GROUP BY run_id HAVING count(*) > 1) AS doubled)
                    """
                ),
                {"key": key},
            )
            again, doubled = result.one()
    finally:
        await database.aclose()
    return int(again), int(doubled)
