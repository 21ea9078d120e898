"""The bench: servers in a data folder of their own, a fresh database for each run, and the CPU of every process."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from statistics import median

from redis import Redis

from benchmarks.figures import Record
from benchmarks.program_run import ProgramRun, Result, cpu_seconds
from embedded.server_process import ServerProcess, inherited_environment
from embedded.services import MIRROR_DATABASE, Services
from pco_simulator.testing import SimulatorProcess
from pco_store.migrate import migrate

PEOPLE = 20_000
IN_FLIGHT = 16
"""What a sync keeps in flight by default; plain Prefect gets the same."""
ORG = "bench"
SETTLED_SHARE = 0.1
SETTLE_PATIENCE = 60.0


class Bench:
    """What a workload is given. `runs` is how often it should repeat what is quick.

    The others are for the whole church: how many `people` it has, `nights` after its first sync, `everything` for kinds
    that are rarely wanted, and whether it `has_volunteers`, services of more than three records of each kind.
    `churches` of many, each with a delta every `interval` seconds, in so many `intervals`; a tenth is `broken`, in
    these ways in turn.
    """

    def __init__(
        self,
        services: Services,
        record: Record,
        *,
        runs: int,
        people: int = PEOPLE,
        nights: int = 0,
        everything: bool = False,
        has_volunteers: bool = False,
        churches: int = 50,
        interval: int = 240,
        intervals: int = 3,
        broken: Sequence[str] = (),
    ) -> None:
        self.services = services
        self.record = record
        self.runs = runs
        self.nights = nights
        self.everything = everything
        self.people = people
        self.has_volunteers = has_volunteers
        self.churches = churches
        self.interval = interval
        self.intervals = intervals
        self.broken = broken
        self._numbers = itertools.count(1)
        asyncio.run(migrate(services.postgres.url(MIRROR_DATABASE)))

    @contextmanager
    def database(self) -> Iterator[str]:
        """The address of a migrated, empty database of its own."""
        name = f"bench{next(self._numbers)}"
        self.services.postgres.psql("postgres", f"CREATE DATABASE {name} TEMPLATE {MIRROR_DATABASE}")
        try:
            yield self.services.postgres.url(name)
        finally:
            self.services.postgres.psql("postgres", f"DROP DATABASE {name} WITH (FORCE)")

    def program(
        self,
        program: str,
        *arguments: str,
        simulator: SimulatorProcess,
        database: str,
        org_id: str = ORG,
        settings: Mapping[str, str] | None = None,
    ) -> ProgramRun:
        """A program that finds the servers, the simulator and this database; to be entered."""
        environment = {
            **inherited_environment(),
            **self.services.environment(),
            "PCO_SYNC_DATABASE_URL": database,
            "PCO_SYNC_ORG_ID": org_id,
            "PCO_SYNC_APPLICATION_ID": simulator.app_id,
            "PCO_SYNC_SECRET": simulator.secret,
            "PCO_SYNC_PCO_BASE_URL": simulator.base_url,
            **(settings or {}),
        }
        log = self.services.home / "logs" / f"{program}.log"
        return ProgramRun(program, *arguments, environment=environment, log=log)

    def run(self, workload: str, label: str, program: str, *arguments: str, simulator: SimulatorProcess) -> Result:
        """Run a program once, in peace, with a database of its own; every process's CPU is put on record."""
        self.settle()
        simulator.reset_log()
        self.forget_budget()
        with self.database() as database:
            before = self._cpu(simulator)
            with self.program(program, *arguments, simulator=simulator, database=database) as running:
                running.go()
                result = running.result()
            self.settle()
            spent = {f"{name}_cpu": value - before[name] for name, value in self._cpu(simulator).items()}
        self.record.sample(workload, label, {**_told(result), **spent})
        return result

    def forget_budget(self) -> None:
        """An empty Redis: no permits of an earlier run, no receipts."""
        with Redis.from_url(self.services.redis.url) as redis:
            redis.flushdb()

    def settle(self) -> None:
        """Wait until the Prefect server has worked off the events of what ran before."""
        deadline = time.monotonic() + SETTLE_PATIENCE
        while time.monotonic() < deadline:
            before, began = self._server_cpu(), time.monotonic()
            time.sleep(0.5)
            if (self._server_cpu() - before) / (time.monotonic() - began) < SETTLED_SHARE:
                return

    def _server_cpu(self) -> float:
        running = ServerProcess(name="prefect-server", home=self.services.home).running()
        return cpu_seconds(running["pid"]) if running else 0.0

    def _cpu(self, simulator: SimulatorProcess) -> dict[str, float]:
        postmaster = int((self.services.postgres.data / "postmaster.pid").read_text().splitlines()[0])
        return {
            "prefect_server": self._server_cpu(),
            "simulator": cpu_seconds(simulator.pid),
            "postgres": cpu_seconds(postmaster),
        }


def middle(results: list[Result], what: Callable[[Result], float]) -> float:
    """The median over runs."""
    return median(what(one) for one in results)


def _told(result: Result) -> dict[str, float | int]:
    values = asdict(result)
    del values["began_at"]
    return values
