"""Random schedules of what happens while a fan-out runs, drawn from a seed, and what each event does."""

import asyncio
import random
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from redis import Redis

from pco_store.database import Database
from pco_store.retention.lifetimes import Lifetimes
from pco_store.retention.removing import remove_what_is_over
from tests.acceptance.warm_workers import Worker
from tests.fleet import GROUPS, LEASE_SECONDS, LIMIT, FanOuts, Fleet
from tests.stack import wait_until

PAGES_IN_FLIGHT = 16
"""Of one flow run: the default of the settings."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """What happens when so many children are done."""

    what: str
    after: int


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """One fan-out and its bad luck."""

    seed: int
    groups_per_run: int
    events: tuple[Event, ...]

    def __str__(self) -> str:
        told = ", ".join(f"{one.what} after {one.after}" for one in self.events)
        return f"{self.seed}: {self.groups_per_run} per run; {told}".replace(" ", "-")

    @property
    def most_read_twice(self) -> int:
        """How many pages can be in flight when something happens, all events together."""
        children = 2 * LIMIT * min(self.groups_per_run, PAGES_IN_FLIGHT)
        return len(self.events) * (min(children, GROUPS) + 1)


def draw(seed: int, names: Sequence[str] = ()) -> Schedule:
    """The schedule of a seed: these events, or one to three of all."""
    chance = random.Random(seed)
    names = names or chance.choices(sorted(EVENTS), k=chance.randint(1, 3))
    events = [Event(what=name, after=chance.randint(0, GROUPS - 8)) for name in names]
    return Schedule(
        seed=seed,
        groups_per_run=chance.choice([1, 1, 4, 10]),
        events=tuple(sorted(events, key=lambda one: one.after)),
    )


def happen(event: Event, fleet: Fleet, fan_out: FanOuts, chance: random.Random) -> None:
    """Wait for its time, and let it happen; afterwards at least one worker runs or starts."""
    wait_until(
        lambda: fan_out.tally()["completed"] >= event.after,
        lambda: f"{event.after} children are done: {fan_out.describe()}",
        seconds=60,
    )
    EVENTS[event.what](fleet, fan_out, chance)
    fleet.workers[:] = [one for one in fleet.workers if one.process.poll() is None]
    if len(fleet.workers) < 2:
        fleet.start_worker_soon()
    if not fleet.workers:
        fleet.wait_for_starters()


def _kill_worker(fleet: Fleet, _: FanOuts, chance: random.Random) -> None:
    fleet.kill(chance.choice(fleet.workers))


def _kill_parent(fleet: Fleet, fan_out: FanOuts, chance: random.Random) -> None:
    root = fan_out.root()
    owners = [one for one in fleet.workers if root is not None and root.owner.endswith(f":{one.process.pid}")]
    fleet.kill(owners[0] if owners else chance.choice(fleet.workers))


def _put_to_sleep(fleet: Fleet, _: FanOuts, chance: random.Random) -> None:
    worker: Worker = chance.choice(fleet.workers)
    worker.send(signal.SIGSTOP)
    awake = time.monotonic() + 1.3 * LEASE_SECONDS
    wait_until(lambda: time.monotonic() > awake, "it overslept its lease")
    worker.send(signal.SIGCONT)


def _drain_worker(fleet: Fleet, _: FanOuts, chance: random.Random) -> None:
    worker: Worker = chance.choice(fleet.workers)
    worker.send(signal.SIGTERM)
    worker.end()


def _empty_redis(fleet: Fleet, _: FanOuts, __: random.Random) -> None:
    with Redis.from_url(fleet.redis_url) as redis:
        redis.flushall()


def _restart_postgres(fleet: Fleet, _: FanOuts, __: random.Random) -> None:
    fleet.restart_postgres()


def _restart_prefect(fleet: Fleet, _: FanOuts, __: random.Random) -> None:
    fleet.restart_prefect()


def _clear_ledger(fleet: Fleet, fan_out: FanOuts, _: random.Random) -> None:
    """What is over goes at once, however young, and none of it stays as the newest."""
    fan_out.church.sql("INSERT INTO sync.backfills VALUES ('ancestors', 1, now()) ON CONFLICT DO NOTHING")

    async def clear() -> None:
        database = Database(fleet.database_url, pool_size=1)
        try:
            await remove_what_is_over(database, Lifetimes(turns=timedelta(), newest_turns=0))
        finally:
            await database.aclose()

    asyncio.run(clear())


EVENTS: Mapping[str, Callable[[Fleet, FanOuts, random.Random], None]] = {
    "a worker is killed": _kill_worker,
    "the parent's worker is killed": _kill_parent,
    "a worker oversleeps": _put_to_sleep,
    "a worker is drained": _drain_worker,
    "the ledger is cleared": _clear_ledger,
    "Redis is emptied": _empty_redis,
    "PostgreSQL restarts": _restart_postgres,
    "the Prefect server restarts": _restart_prefect,
}
