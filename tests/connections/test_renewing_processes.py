"""Real processes at the moment of expiry: one request for all, and whatever ends in the middle loses nothing."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.connections.consenting import KEY, Connected, until
from tests.connections.forked import POINTS

PROCESSES: Final = 32
ROTATIONS: Final = ("on-use", "at-once")
LOST: Final = ("sent", "answered", "saved")
"""Points at which only the process that ended knew the new pair."""


class Processes:
    """The program, and what it answers."""

    def __init__(self, church: Connected, database_url: str) -> None:
        told = {
            "database_url": database_url,
            "base_url": church.simulator.base_url,
            "org_id": church.org_id,
            "key": KEY,
        }
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.connections.forked", json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, what: str, command: Any) -> Any:
        """Send a line, and read one."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        print(json.dumps({what: command}), file=self._program.stdin, flush=True)
        return json.loads(self._program.stdout.readline())

    def end(self) -> None:
        """End it, and all that it has forked."""
        self._program.communicate(timeout=30)


@pytest.fixture
def processes(church: Connected, connections_url: str) -> Iterator[Processes]:
    """The program, for the church that has just consented."""
    program = Processes(church, connections_url)
    yield program
    program.end()


async def _expire(church: Connected, chance: random.Random, *, is_due: bool) -> None:
    """The access token is over: as its time has come, or because Planning Center says so before."""
    church.simulator.oauth(forget=True, rotation=chance.choice(ROTATIONS), expire=church.organization)
    await church.age(7201 if is_due else 120)


@pytest.mark.parametrize("rounds", [20, pytest.param(200, marks=pytest.mark.nightly)])
async def test_32_processes_at_expiry_send_one_request_and_lose_no_page(
    church: Connected, processes: Processes, rounds: int
) -> None:
    assert processes.ask("stay", PROCESSES) == ["ok"] * PROCESSES
    for seed in range(rounds):
        chance = random.Random(seed)
        is_due = chance.random() < 0.5
        await _expire(church, chance, is_due=is_due)
        delays = [chance.uniform(0, 0.05) for _ in range(PROCESSES)]
        found = processes.ask("all", {"advance": 7201 if is_due else 0, "delays": delays})
        assert found == ["ok"] * PROCESSES, seed
        assert church.outcomes() == ["granted"], seed


@pytest.mark.parametrize("seeds", [range(2 * len(POINTS)), pytest.param(range(500), marks=pytest.mark.nightly)])
async def test_a_process_that_is_killed_or_stopped_anywhere_in_a_renewal_loses_nothing_that_can_be_kept(
    church: Connected, processes: Processes, seeds: range
) -> None:
    """Each point with both signals, then each in the other way of rotation, then by chance."""
    ends = [(point, number) for point in POINTS for number in (signal.SIGKILL, signal.SIGSTOP)]
    ways = [ROTATIONS[(number + of_point // 2) % 2] for number in (0, 1) for of_point in range(len(ends))]
    cases = [(*end, way) for end, way in zip(ends * 2, ways, strict=True)]
    lost = 0
    for seed in seeds:
        chance = random.Random(seed)
        point, number, rotation = cases[seed] if seed < len(cases) else chance.choice(cases)
        lost += await _crash(church, processes, chance, point=point, number=number, rotation=rotation)
    assert lost, "some cannot be kept, where a pair dies at once: they were noticed"


async def _crash(
    church: Connected, processes: Processes, chance: random.Random, *, point: str, number: int, rotation: str
) -> bool:
    """Whether the connection was lost, where it has to be."""
    where = (point, signal.Signals(number).name, rotation)
    if (await church.row()).state != "active":
        await church.consent_and_store()
    for _ in range(chance.randrange(2)):
        await church.credential().renew()
        assert processes.ask("one", {})["found"] == "ok"
    church.simulator.oauth(
        forget=True, rotation=rotation, expire=church.organization, trouble="held" if point == "sent" else "", times=1
    )
    await church.age(chance.choice([120, 7201]))
    first = processes.ask("one", {"point": point, "signal": number})
    assert first["found"] is None, where
    if point == "sent":
        await until(lambda: bool(church.requests()))
        os.kill(first["pid"], number)

    found = [processes.ask("one", {})["found"] for _ in range(2)]
    is_lost = rotation == "at-once" and point in LOST
    if is_lost:
        assert all(one.startswith("NeedsAuthorisation: grace has to be connected again") for one in found), (
            where,
            found,
        )
        assert church.outcomes()[0] == "granted", where
        assert 1 <= church.outcomes().count("invalid_grant") <= 2, "the pair, and the one before it; then never again"
        assert (await church.row()).state == "needs_authorisation", where
    else:
        assert found == ["ok", "ok"], where
        assert church.outcomes().count("granted") <= 2, where
    if point == "sent":  # its answer never comes
        os.kill(first["pid"], signal.SIGKILL)
        processes.ask("wait", first["pid"])
    elif number == signal.SIGSTOP:
        woken = processes.ask("go_on", first["pid"])["found"]
        if is_lost:  # it still knows the pair that nobody else has
            assert woken == "ok", (where, woken)
            is_lost = False
    if not is_lost:
        assert processes.ask("one", {})["found"] == "ok", where
        assert (await church.row()).state == "active", where
    return is_lost
