"""Warm workers for a fan-out, and the fan-out seen by the ledger."""

import asyncio
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import WorkerFilter, WorkerFilterStatus
from prefect.types import DateTime

from benchmarks.bench import Bench
from benchmarks.program_run import cpu_seconds
from deployments.provisioning.names import WORK_POOL
from deployments.provisioning.provision import provision, save_credentials
from deployments.provisioning.worker import worker_command, worker_environment
from embedded.server_process import ServerProcess
from pco_simulator.testing import SimulatorProcess
from pco_store.ledger.openings import FAN_OUT_SCOPE, sync_key
from tasks.deployment_runs import start_fan_out

PROJECT = Path(__file__).resolve().parent.parent
ORG = "bench"
LEASE_SECONDS = 10
POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class FanOutRun:
    """What a fan-out took: seconds from the request to the last child, and CPU by process, in seconds."""

    children: int
    completed: int
    dead: int
    begun_twice: int
    seconds: float
    cpu: Mapping[str, float]

    @property
    def cpu_per_child_ms(self) -> float:
        """Of all processes together."""
        return sum(self.cpu.values()) * 1000 / max(self.completed, 1)


class Fleet:
    """Workers that run the children of one church's fan-outs into `database`, which is theirs alone."""

    def __init__(self, bench: Bench, simulator: SimulatorProcess, database: str) -> None:
        self.workers: list[subprocess.Popen[bytes]] = []
        self._bench = bench
        self._simulator = simulator
        self.database = database

    def start_worker(self, *, limit: int, **more: str) -> subprocess.Popen[bytes]:
        """A warm worker, as `make worker` starts it; `more` is of its environment."""
        environment = {
            **worker_environment(os.environ),
            "PCO_SYNC_DATABASE_URL": self.database,
            "PCO_SYNC_LEASE_SECONDS": str(LEASE_SECONDS),
            "PCO_SYNC_START_SECONDS": str(LEASE_SECONDS),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            **more,
        }
        with (self._bench.services.home / "logs" / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                worker_command(limit), cwd=PROJECT, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self.workers.append(worker)
        return worker

    def start_workers(self, count: int, *, limit: int, **more: str) -> None:
        """So many, ready when this returns."""
        began = DateTime.now("UTC")
        for _ in range(count):
            self.start_worker(limit=limit, **more)
        asyncio.run(_wait_for_workers(count, since=began))

    def stop_workers(self) -> None:
        """All of them, and not before they are gone."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(60)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self.workers.clear()

    async def run(
        self,
        entity: str,
        epoch: str,
        *,
        patience: float,
        on_look: Callable[[Mapping[str, Any]], None] | None = None,
        **how: Any,
    ) -> FanOutRun:
        """A fan-out from the request to its last child. Raises `TimeoutError`."""
        key = sync_key(ORG, entity, epoch, FAN_OUT_SCOPE)
        before, began = self.cpu(), time.monotonic()
        await start_fan_out(ORG, entity, epoch=epoch, **how)
        connection = await asyncpg.connect(self.database)
        try:
            while True:
                state = await connection.fetchval("SELECT state FROM sync.runs WHERE key = $1", key)
                if state == "completed":
                    break
                if time.monotonic() - began > patience:
                    raise TimeoutError(f"{key} was {state} after {patience:g} s")
                if on_look is not None and state is not None:
                    on_look(await connection.fetchrow("SELECT * FROM sync.fan_outs WHERE epoch = $1", epoch))
                await asyncio.sleep(POLL_SECONDS)
            seconds = time.monotonic() - began
            row = await connection.fetchrow("SELECT * FROM sync.fan_outs WHERE epoch = $1", epoch)
            twice = await connection.fetchval(
                "SELECT count(*) FROM sync.runs WHERE parent_run_id = $1 AND attempts > 1", row["run_id"]
            )
        finally:
            await connection.close()
        after = self.cpu()
        return FanOutRun(
            children=row["children"],
            completed=row["completed"],
            dead=row["dead"],
            begun_twice=twice,
            seconds=seconds,
            cpu={name: after[name] - before[name] for name in after},
        )

    def requests_per_list(self) -> Counter[str]:
        """How often each list below a parent was asked for, by path."""
        return Counter(one["path"] for one in self._simulator.access_log() if one["path"].count("/") > 4)

    def cpu(self) -> dict[str, float]:
        """Seconds that each kind of process has taken so far."""
        server = ServerProcess(name="prefect-server", home=self._bench.services.home).running()
        postmaster = int((self._bench.services.postgres.data / "postmaster.pid").read_text().splitlines()[0])
        return {
            "workers": sum(cpu_seconds(worker.pid) for worker in self.workers),
            "prefect_server": cpu_seconds(server["pid"]) if server else 0.0,
            "postgres": cpu_seconds(postmaster),
            "simulator": cpu_seconds(self._simulator.pid),
        }


@contextmanager
def fleet(bench: Bench, simulator: SimulatorProcess, *, workers: int, limit: int, **more: str) -> Iterator[Fleet]:
    """Ready workers, a database and credentials; ended with the block. `more` is of the workers' environment."""
    bench.settle()
    bench.forget_budget()
    simulator.reset_log()
    with bench.database() as database:
        asyncio.run(_provision(simulator))
        made = Fleet(bench, simulator, database)
        try:
            made.start_workers(workers, limit=limit, **more)
            yield made
        finally:
            made.stop_workers()


async def _provision(simulator: SimulatorProcess) -> None:
    async with get_client() as client:
        pools = await client.read_work_pools()
    if WORK_POOL not in {pool.name for pool in pools}:
        await provision()
    await save_credentials(ORG, application_id=simulator.app_id, secret=simulator.secret, base_url=simulator.base_url)


async def _wait_for_workers(count: int, *, since: DateTime, patience: float = 60) -> None:
    """Until so many workers that were started `since` then poll the pool: what is measured begins with warm workers.

    Prefect calls those of the fleet before this one online for some time after their end.
    """
    deadline = time.monotonic() + patience
    async with get_client() as client:
        while True:
            online = await client.read_workers_for_work_pool(
                WORK_POOL, worker_filter=WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
            )
            ready = sum(one.last_heartbeat_time is not None and one.last_heartbeat_time > since for one in online)
            if ready >= count:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{ready} of {count} workers are online after {patience:g} s")
            await asyncio.sleep(POLL_SECONDS)
