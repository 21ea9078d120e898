"""A year of a church with churn, in minutes: no table beside the mirror grows for ever, and no delta gets dearer."""

import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from benchmarks.program_run import cpu_seconds
from deployments.provisioning.names import WORK_POOL
from embedded import prefect_server
from embedded.home import usable_home
from embedded.services import PREFECT_DATABASE, Services
from flows.recover_syncs import recover_syncs
from flows.sync_organization import EntitiesFailedError, sync_organization
from flows.verify_entity import verify_entity
from pco_simulator.testing import SimulatorProcess
from pco_store.database import Database
from pco_store.migrate import fill_from_ledger, migrate
from pco_store.retention.lifetimes import Lifetimes
from pco_store.retention.removing import remove_what_is_over
from tests.acceptance.warm_workers import warm_worker
from tests.fleet import BRISK, deploy, using
from tests.orchestration.year.days import Days
from tests.orchestration.year.growth import falls, growing, kept, series
from tests.stack import FAST, Stack

ORG: Final = "grace"
LISTS: Final = ("people.Person", "people.Email", "people.Household", "groups.Group", "giving.Donation", "giving.Fund")
BELOW: Final = ("groups.Membership", "people.HouseholdMembership")
NIGHTS: Final = 30
DELTAS_A_DAY: Final = 17
WEEK: Final = 6
A_DAY: Final = 3
"""People who come, and who go; donations, too."""
MOVING: Final = ("people.Person", "giving.Donation")
"""What comes and goes, and is proven."""
MOST_CPU: Final = 1.25
"""Of what it was, in terms of a piece of work that is always the same: a busy machine takes more CPU for both."""
OFTEN: Final = {
    "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "2",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ORPHAN_CLEANUP_LOOP_SECONDS": "5",
}
"""How often Prefect's server looks for what is old."""
LOOKBACK: Final = timedelta(seconds=5)
"""The ten minutes of every day would be all that has ever happened."""
NO_SCHEDULES: Final = "UPDATE deployment_schedule SET active = false; DELETE FROM flow_run WHERE auto_scheduled"
"""The test itself is the clock."""
FALLING: Final = (
    "pco sync.runs", "pco sync.pages", "prefect public.flow_run", "prefect public.task_run", "prefect public.log",
    "prefect public.artifact", "prefect public.events", "redis messages",
)  # fmt: skip
"""What is made all the time, and has to be at its bound several times."""


@dataclass
class Year:
    """A church, the servers beside it, and what it cost to keep it current."""

    services: Services
    simulator: SimulatorProcess
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    cpu: list[float] = field(default_factory=list)
    samples: list[dict[str, int]] = field(default_factory=list)

    def sync(self, mode: str, include: tuple[str, ...] = LISTS) -> None:
        sync_organization(ORG, mode=mode, include=list(include))

    def delta(self) -> None:
        """What changed; its CPU, with that of Postgres."""
        self.churn()
        before = self._cpu()
        self.sync("delta")
        spent = self._cpu() - before
        self.cpu.append(spent / cpu_of_a_piece_of_work())

    def failed_delta(self) -> None:
        """One that Planning Center does not answer to, and that is continued."""
        self.simulator.faults([{"kind": "500", "path": "/people/v2/people", "permanent": True}])
        with suppress(EntitiesFailedError):
            self.sync("delta")
        self.simulator.faults([])

    def churn(self) -> None:
        """Some are changed."""
        counts = self.simulator.counts()
        person, donation = (self.chance.randrange(counts[one] - 1) for one in MOVING)
        self.simulator.churn([
            {"operation": "edit", "entity": "people.Person", "place": person, "attributes": {"nickname": str(person)}},
            {"operation": "edit", "entity": "giving.Donation", "place": donation, "attributes": {"memo": str(person)}},
        ])  # fmt: skip

    def come_and_go(self) -> None:
        """As many as came go. In a week they are fewer than are too many to be believed."""
        for entity, comes in zip(MOVING, ("create", "give"), strict=True):
            places = self.chance.sample(range(self.simulator.counts()[entity] - 1), A_DAY)
            self.simulator.churn([
                {"operation": comes, "entity": entity, "count": A_DAY},
                *({"operation": "delete", "entity": entity, "place": place} for place in sorted(places, reverse=True)),
            ])  # fmt: skip

    def poison(self) -> None:
        """A person who cannot be stored for a while."""
        people = self.simulator.state("people.Person")
        one = str(self.chance.choice(people)["id"])
        self.simulator.faults([{"kind": "attributes-list", "record_id": one, "permanent": True}])
        self.simulator.churn([{"operation": "edit", "entity": "people.Person", "id": one}])
        self.sync("delta")
        self.simulator.faults([])

    def night(self) -> None:
        """What no delta can tell, below parents what is due, and proofs."""
        self.come_and_go()
        gone, *groups = self.chance.sample([int(one["id"]) for one in self.simulator.state("groups.Group")], 4)
        self.simulator.churn([
            {"operation": "create", "entity": "groups.Group"},
            {"operation": "delete", "entity": "groups.Group", "id": gone},
            *({"operation": "create", "entity": "groups.Membership", "relationships": {"group": g}} for g in groups),
        ])  # fmt: skip
        self.sync("rest", (*LISTS, *BELOW))
        for entity in MOVING:
            verify_entity(ORG, entity, method="count")

    async def clear(self, lifetimes: Lifetimes) -> None:
        """What is over goes, as it does each day."""
        database = Database(self.services.environment()["PCO_SYNC_DATABASE_URL"], pool_size=1)
        try:
            removed = await remove_what_is_over(database, lifetimes)
            assert removed.turns is not None
        finally:
            await database.aclose()

    def _cpu(self) -> float:
        return time.process_time() + cpu_seconds(self._postmaster)

    @property
    def _postmaster(self) -> int:
        return int((self.services.postgres.data / "postmaster.pid").read_text().splitlines()[0])


def cpu_of_a_piece_of_work() -> float:
    """Seconds: JSON, as most of a delta is."""
    records = [{"id": str(number), "attributes": {"name": f"name {number}"}} for number in range(1000)]
    before = time.process_time()
    for _ in range(10):
        json.loads(json.dumps(records))
    return time.process_time() - before


@pytest.fixture
def year(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Year]:
    """Servers of its own, whose Prefect removes what is old every few seconds, and a worker."""
    monkeypatch.setattr(prefect_server, "SETTINGS", {**prefect_server.SETTINGS, **OFTEN})
    monkeypatch.setattr("pco_walks.window.LOOKBACK", LOOKBACK)
    services = Services(usable_home(home / "year"))
    services.start()
    try:
        with SimulatorProcess(people=500, groups=25) as simulator:
            environment = {
                **FAST,
                **services.environment(),
                "PCO_SYNC_ORG_ID": ORG,
                "PCO_SYNC_APPLICATION_ID": simulator.app_id,
                "PCO_SYNC_SECRET": simulator.secret,
                "PCO_SYNC_PCO_BASE_URL": simulator.base_url,
            }
            stack = Stack(
                home=services.home, postgres=services.postgres, redis=services.redis, prefect=services.prefect
            )
            url = environment["PCO_SYNC_DATABASE_URL"]
            asyncio.run(migrate(url))
            asyncio.run(fill_from_ledger(url, lambda _: None))
            with using(environment, stack):
                deploy(environment, services.home)
                services.postgres.psql(PREFECT_DATABASE, NO_SCHEDULES)
                with warm_worker(stack, WORK_POOL, "--type", "warm", "--limit", "5", **{**environment, **BRISK}):
                    yield Year(services, simulator)
    finally:
        services.stop()


@pytest.mark.nightly
def test_no_table_beside_the_mirror_grows_for_ever_and_deltas_at_the_end_cost_what_they_did(year: Year) -> None:
    began = time.monotonic()
    year.sync("lists")
    days = Days(year.services)
    for night in range(1, NIGHTS + 1):
        for number in range(DELTAS_A_DAY):
            if number == 1:
                year.failed_delta()
            if number == 3:
                year.poison()
            year.delta()
        days.lists_age()
        year.night()
        if night % WEEK == 0:
            year.sync("lists")
        recover_syncs()
        days.go_by()
        asyncio.run(year.clear(days.lifetimes))
        year.samples.append(kept(year.services))
        sys.stdout.write(f"night {night} {time.monotonic() - began:.0f} s {statistics.median(year.cpu[-17:]):.3f}\n")
        sys.stdout.flush()
    for name, values in series(year.samples).items():
        sys.stdout.write(f"{name}: {values}\n")
    week = DELTAS_A_DAY * WEEK
    first, last = statistics.median(year.cpu[:week]), statistics.median(year.cpu[-week:])
    sys.stdout.write(
        f"{len(year.cpu)} deltas of {first:.1f} pieces of work in the first week, {last:.1f} in the last\n"
    )
    verdicts = [verify_entity(ORG, entity, method="full").verdict for entity in MOVING]
    assert set(verdicts) <= {"Exact", "ExactAsOf"}, "the last to come are newer than the last delta"
    assert growing(year.samples) == {}
    assert {name: falls(year.samples, name) for name in FALLING if falls(year.samples, name) < 3} == {}
    assert last <= MOST_CPU * first
