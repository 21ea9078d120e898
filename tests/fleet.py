"""Warm workers as processes, with the deployments of prefect.yaml, and the fan-outs that they run."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import FlowRun

from deployments.provisioning.names import WORK_POOL
from deployments.provisioning.provision import save_credentials
from deployments.provisioning.worker import RESIDENTS
from embedded.server_process import inherited_environment
from embedded.services import PREFECT_DATABASE
from pco_store.ledger.openings import FAN_OUT_SCOPE, sync_key
from tasks.deployment_runs import Started, start_fan_out
from tests.acceptance.warm_workers import ROOT, Worker, WorkerEndedError, warm_worker
from tests.church import Church
from tests.forked_programs import START_SECONDS, ForkedProgram
from tests.simulators import SimulatorProcess
from tests.stack import Stack, wait_until

MEMBERSHIPS = "groups.Membership"
GROUPS = 30
LEASE_SECONDS = 3.0
LIMIT = 5
RESTARTS = 3
"""Flow runs at a time of one worker."""

BRISK = {
    "PCO_SYNC_LEASE_SECONDS": str(LEASE_SECONDS),
    "PCO_SYNC_START_SECONDS": "4",
    "PCO_SYNC_RETRY_FIRST_SECONDS": "0.2",
    "PCO_SYNC_RETRY_TOTAL_SECONDS": "30",
    "PCO_WORKER_RESIDENTS": RESIDENTS,
    "PCO_WORKER_DRAIN_SECONDS": "0.5",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
}
"""What the tests' workers are told: leases that end soon, and no lines of log for each page."""


@dataclass
class Fleet:
    """The workers of the pool `pco-sync` on the session's servers."""

    stack: Stack
    simulator: SimulatorProcess
    database_url: str
    redis_url: str
    workers: list[Worker] = field(default_factory=list)
    _running: ExitStack = field(default_factory=ExitStack)
    _starter: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(max_workers=1))
    _starting: list["Future[Worker]"] = field(default_factory=list)
    _worlds: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """What every process of ours needs."""
        return {
            **self.stack.environment(),
            **BRISK,
            "PCO_SYNC_DATABASE_URL": self.database_url,
            "PCO_SYNC_REDIS_URL": self.redis_url,
        }

    def start_worker(self, *options: str, **environment: str) -> Worker:
        """One more worker."""
        options = ("--type", "warm", *(options or ("--limit", str(LIMIT))))  # it starts while Prefect is away, too
        worker = self._running.enter_context(
            warm_worker(self.stack, WORK_POOL, *options, **{**self.environment(), **environment})
        )
        self.workers.append(worker)
        return worker

    def keep_workers(self, count: int) -> None:
        """Let so many workers run: dead ones are replaced, those that are too many end."""
        self.wait_for_starters()
        self.workers = [one for one in self.workers if one.process.poll() is None]
        for one in self.workers[count:]:
            self.kill(one)
        while len(self.workers) < count:
            self.start_worker()

    def kill(self, worker: Worker) -> None:
        """kill -9, with the worker's children if it has any."""
        os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
        if worker in self.workers:
            self.workers.remove(worker)

    def start_worker_soon(self) -> None:
        """One more worker, without waiting for it."""
        self._starting.append(self._starter.submit(self._start_as_a_service))

    def _start_as_a_service(self) -> Worker:
        """What runs a worker for good starts it again, if it ends because its servers are away."""
        for _ in range(RESTARTS):
            with suppress(WorkerEndedError):
                return self.start_worker()
        return self.start_worker()

    def wait_for_starters(self) -> None:
        """Wait for the workers that were to start soon. Raises what kept them from it."""
        while self._starting:
            self._starting.pop().result()

    def stop(self) -> None:
        """End all workers."""
        self._starter.shutdown()
        self._running.close()
        self.workers.clear()

    def restart_prefect(self) -> None:
        """Kill Prefect's server and start it again where it was."""
        server = psutil.Process(json.loads((self.stack.home / "prefect-server.json").read_text())["pid"])
        family = [server, *server.children(recursive=True)]
        for one in family:
            one.kill()
        psutil.wait_procs(family, timeout=10)
        self.stack.prefect.start(self.stack.postgres.url(PREFECT_DATABASE, "postgresql+asyncpg"))

    def restart_postgres(self) -> None:
        """Stop PostgreSQL, the mirror's and Prefect's, and start it again."""
        self.stack.postgres.stop()
        self.stack.postgres.start()

    def church(self, org_id: str, simulator: SimulatorProcess | None = None) -> "FanOuts":
        """A church with credentials of its own; its name is one test's alone, for workers keep what they know of it."""
        world = simulator or self.simulator
        assert self._worlds.setdefault(org_id, world.base_url) == world.base_url, f"two tests call a church {org_id}"
        asyncio.run(save_credentials(org_id, application_id=world.app_id, secret=world.secret, base_url=world.base_url))
        base = Church(
            org_id=org_id,
            base=self.stack.environment(),
            database_url=self.database_url,
            redis_url=self.redis_url,
            simulator=world,
        )
        return FanOuts(base)


@dataclass(frozen=True)
class FanOuts:
    """The fan-outs of one church."""

    church: Church

    def start(self, entity: str = MEMBERSHIPS, *, epoch: str = "e", **parameters: Any) -> Started:
        """Start a fan-out as a deployment run."""
        return asyncio.run(start_fan_out(self.church.org_id, entity, epoch=epoch, **parameters))

    def root(self, entity: str = MEMBERSHIPS, *, epoch: str = "e") -> Any:
        """The ledger's row of a fan-out, or None."""
        key = sync_key(self.church.org_id, entity, epoch, FAN_OUT_SCOPE)
        found = self.church.sql("SELECT * FROM sync.runs WHERE key = :key", key=key)
        return found[0] if found else None

    def children(self, entity: str = MEMBERSHIPS, *, epoch: str = "e") -> list[Any]:
        """The ledger's rows of its children."""
        root = self.root(entity, epoch=epoch)
        if root is None:
            return []
        return list(
            self.church.sql("SELECT * FROM sync.runs WHERE parent_run_id = :id ORDER BY run_id", id=root.run_id)
        )

    def tally(self, entity: str = MEMBERSHIPS, *, epoch: str = "e") -> Counter[str]:
        """How many children are doing what."""
        return Counter(one.state for one in self.children(entity, epoch=epoch))

    def running(self, worker: Worker) -> list[Any]:
        """The children that are the worker's by the ledger."""
        return [
            one for one in self.children() if one.state == "running" and one.owner.endswith(f":{worker.process.pid}")
        ]

    def wait_for_done(self, count: int, entity: str = MEMBERSHIPS, *, seconds: float = 60) -> None:
        """Wait until so many children are done."""
        wait_until(
            lambda: self.tally(entity)["completed"] >= count,
            lambda: f"{count} children are done: {self.describe(entity)}",
            seconds=seconds,
        )

    def wait_until_complete(self, entity: str = MEMBERSHIPS, *, epoch: str = "e", seconds: float = 60) -> None:
        """Wait until the fan-out is complete."""

        def is_complete() -> bool:
            root = self.root(entity, epoch=epoch)
            return root is not None and root.state == "completed"

        wait_until(
            is_complete, lambda: f"the fan-out is complete: {self.describe(entity, epoch=epoch)}", seconds=seconds
        )

    def describe(self, entity: str = MEMBERSHIPS, *, epoch: str = "e") -> str:
        """Everything that is known of a fan-out, for somebody who wonders why it does not end."""
        runs = sorted(self.flow_runs(), key=lambda one: str(one.created))
        return "\n".join(
            [
                f"{self.root(entity, epoch=epoch)}",
                *(f"{one.scope} {one.state} {one.flow_run_id} {one.error}" for one in self.children(entity)),
                *(f"{one.id} {one.idempotency_key} {one.state}" for one in runs),
            ]
        )

    def flow_runs(self) -> list[FlowRun]:
        """The flow runs of the church's fan-outs and their children, as Prefect knows them."""

        async def read() -> list[FlowRun]:
            async with get_client() as client:
                named = FlowRunFilter(name=FlowRunFilterName(like_=f"{self.church.org_id}: "))
                return await client.read_flow_runs(flow_run_filter=named, limit=200)

        return asyncio.run(read())

    def assert_nothing_lost_and_nothing_doubled(self, *, entity: str = MEMBERSHIPS, read_twice: int = 0) -> None:
        """By the ledger, the mirror and the simulator's access log, of which the church has all requests.

        `read_twice` is how many pages were in flight when something died.
        """
        children = self.children(entity)
        assert Counter(one.state for one in children) == {"completed": len(children)}
        groups = {str(one["id"]) for one in self.church.simulator.state("groups.Group")}
        assert sorted(one.scope for one in children) == sorted(groups), "a child for each group, and no other"
        for mirrored in ("groups.Group", entity):
            assert self.church.differences(mirrored) == []
        reads = self.church.reads()
        pages = self.church.sql(
            """
            SELECT count(*) AS readings, count(DISTINCT (run_id, page.offset)) AS pages,
                array_agg(run.scope || '+' || page.offset) AS which
            FROM sync.pages AS page JOIN sync.runs AS run USING (run_id) WHERE run.org_id = :org
            """,
            org=self.church.org_id,
        )[0]
        assert len(reads) == pages.pages, (
            f"every page that was read is in the ledger: {sorted(reads)}, {sorted(pages.which)}"
        )
        assert reads.total() - pages.readings <= read_twice, [page for page, count in reads.items() if count > 1]


@contextmanager
def using(environment: Mapping[str, str], stack: Stack) -> Iterator[None]:
    """This process's own environment leads to the servers, too."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        with stack.settings():
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def deploy(environment: Mapping[str, str], folder: Path) -> None:
    """Everything of prefect.yaml, as `make deploy` does it."""
    output = folder / "deploy.log"
    program = ForkedProgram(
        *("-m", "deployments", "deploy"),
        environment=inherited_environment(**environment),
        folder=ROOT,
        output=output,
        uses_prefect=True,
    )
    assert program.wait(START_SECONDS) == 0, output.read_text()


@pytest.fixture(scope="session")
def session_fleet(stack: Stack, template: str) -> Iterator[Fleet]:
    """Deployments, a mirror and a simulated church, and no worker yet."""
    stack.postgres.psql("postgres", f"CREATE DATABASE fleet TEMPLATE {template} STRATEGY FILE_COPY")
    with SimulatorProcess(people=60, groups=GROUPS, latency_ms=40) as simulator:
        fleet = Fleet(stack, simulator, stack.postgres.url("fleet"), stack.redis.url)
        deploy(fleet.environment(), stack.home)
        yield fleet
        fleet.stop()
    stack.postgres.psql("postgres", "DROP DATABASE fleet WITH (FORCE)")


@pytest.fixture
def fleet(session_fleet: Fleet) -> Iterator[Fleet]:
    """Two workers, a well-behaved simulator and an empty access log."""
    session_fleet.simulator.faults([])
    session_fleet.simulator.latency(40)
    session_fleet.simulator.rate_limit(limit=None)
    with using(session_fleet.environment(), session_fleet.stack):
        session_fleet.keep_workers(2)
        session_fleet.simulator.reset_log()
        yield session_fleet
