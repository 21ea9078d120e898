"""Many churches with a schedule of deltas, a tenth of them broken in ten ways: who is current, and what it costs."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
from cryptography.fernet import Fernet

from benchmarks.bench import Bench
from benchmarks.figures import Goal
from benchmarks.fleet import ORG, Fleet, fleet
from deployments.provisioning.names import SYNC_ORGANIZATIONS
from deployments.provisioning.provision import save_credentials, save_oauth_church
from pco_simulator.testing import SimulatorProcess
from pco_store.connections.connections import NewConnection, store_connection
from pco_store.connections.sealing import TokenKeys
from pco_store.database import Database
from tasks.churches.starting import start_of
from tasks.deployment_runs import start_deployment, start_organization

TITLE = "deltas of many churches on one worker, a tenth of them broken: all current, and the CPU of it"
PEOPLE, GROUPS = 20, 2
LIMIT: Final = 20
KEY: Final = Fernet.generate_key().decode()
FAULTS: Final[dict[str, dict[str, Any]]] = {
    "silence": {"kind": "hang", "permanent": True},
    "503": {"kind": "503", "permanent": True},
    "html": {"kind": "html", "permanent": True},
    "half": {"kind": "half-json", "permanent": True},
    "reset": {"kind": "reset", "permanent": True},
    "401": {"kind": "401", "permanent": True},
    "object": {"kind": "object", "permanent": True},
}
"""What the simulator does to a church, by the name of its way of being broken."""
WAYS: Final = (*FAULTS, "port", "token", "backfill")
"""Ways of being broken, for the broken churches in turn: those of the simulator, a port that nobody listens at, a token
endpoint that hangs, a backfill of everything.
"""


def measure(bench: Bench) -> None:
    """Some intervals. Every church knows its lists already: what is measured are deltas in which nothing changed."""
    count, interval, intervals = bench.churches, bench.interval, bench.intervals
    names = [f"church-{number}" for number in range(count)]
    ways = bench.broken
    broken = {name: ways[at % len(ways)] for at, name in enumerate(names[::10])} if ways else {}
    healthy = [name for name in names if name not in broken]
    with (
        SimulatorProcess(people=PEOPLE, groups=GROUPS, churches=count + 1) as simulator,
        _silent_port() as silent,
        fleet(bench, simulator, workers=1, limit=LIMIT, PCO_SYNC_TOKEN_KEYS=KEY, PCO_SYNC_CLIENT_ID="bench") as ours,
    ):
        asyncio.run(_connect(ours, simulator, names, broken, silent))
        before, began = ours.cpu(), datetime.now(UTC)
        for number in range(intervals):
            time.sleep(max(0.0, (began + timedelta(seconds=number * interval) - datetime.now(UTC)).total_seconds()))
            parameters = {"mode": "delta", "spread_seconds": interval}
            asyncio.run(start_deployment(SYNC_ORGANIZATIONS, parameters))
            if number == 0:
                asyncio.run(_backfills(broken))
        time.sleep(interval)
        after = ours.cpu()
        time.sleep(interval)  # the last church's third interval ends with the fourth of the first one's
        runs = asyncio.run(_runs(ours))
    _tell(bench, healthy, runs, began, {name: after[name] - before[name] for name in after})


def _tell(bench: Bench, healthy: list[str], runs: list[Any], began: datetime, cpu: dict[str, float]) -> None:
    spread, figure = timedelta(seconds=bench.interval), bench.record.figure
    late, current, intervals = [], Counter[int](), bench.intervals
    for number in range(intervals):
        for org_id in healthy:
            due = start_of(org_id, due=began + number * spread, spread=spread, now=began + number * spread)
            mine = [one for one in runs if one["org_id"] == org_id and due <= one["started_at"] < due + spread]
            ended = [one for one in mine if one["state"] == "completed" and one["updated_at"] < due + spread]
            current[number] += bool(ended)
            late += [(one["started_at"] - due).total_seconds() for one in ended[:1]]
    late.sort()
    over = began + intervals * spread
    deltas = sum(one["state"] == "completed" and one["updated_at"] < over for one in runs)
    figure("CHURCHES", "churches", bench.churches, "")
    figure("CHURCHES", "broken", (bench.churches + 9) // 10 if bench.broken else 0, "")
    figure("CHURCHES", "interval", bench.interval, "s")
    figure(
        "CHURCHES",
        "healthy churches current, of each interval",
        current.total() / len(healthy) / intervals,
        "",
        Goal(at_least=1),
    )
    for number in range(intervals):
        figure("CHURCHES", f"the same of interval {number + 1}", current[number] / len(healthy), "")
    if late:
        figure("CHURCHES", "start after its time: median", late[len(late) // 2], "s")
        figure("CHURCHES", "start after its time: 99 of 100", late[int(len(late) * 0.99)], "s")
        figure("CHURCHES", "start after its time: longest", late[-1], "s")
    each = Counter(one["org_id"] for one in runs if one["state"] == "completed")
    figure("CHURCHES", "deltas that completed", deltas, "")
    figure("CHURCHES", "of the healthy church with the fewest", min(each[one] for one in healthy), "")
    figure("CHURCHES", "of the healthy church with the most", max(each[one] for one in healthy), "")
    for name, seconds in cpu.items():
        figure("CHURCHES", f"CPU per delta, {name.replace('_', ' ')}", seconds / max(deltas, 1), "s")
    busy = sum(seconds for name, seconds in cpu.items() if name != "simulator")
    figure("CHURCHES", "cores busy, without the simulator", busy / (bench.interval * intervals), "")


async def _connect(
    ours: Fleet, simulator: SimulatorProcess, names: list[str], broken: dict[str, str], silent: str
) -> None:
    """Read one church, and let the others know as much; then break those that are broken."""
    await start_organization(ORG, mode="delta")
    connection = await asyncpg.connect(ours.database)
    try:
        while not await connection.fetchval(  # noqa: ASYNC110 - what is waited for happens in another process
            "SELECT count(*) FROM sync.runs WHERE entity = 'organization' AND state = 'completed'"
        ):
            await asyncio.sleep(0.5)
        await connection.execute(
            "INSERT INTO sync.watermarks (org_id, entity, scope, watermark, run_id) "
            "SELECT name, entity, scope, watermark, run_id FROM sync.watermarks, unnest($1::text[]) AS name",
            names,
        )
        await connection.execute("DELETE FROM sync.runs WHERE org_id = $1 AND entity = 'organization'", ORG)
    finally:
        await connection.close()
    for number, name in enumerate(names):
        church, way = simulator.church(number + 1), broken.get(name)
        address = simulator.base_url
        if way in FAULTS:
            church.faults([FAULTS[way]])
        elif way == "port":
            address = "http://127.0.0.1:9"
        elif way == "token":
            await _by_oauth(ours, name, silent)
            continue
        await save_credentials(
            name, application_id=church.app_id, secret=church.secret, base_url=address, scheduled=True
        )


async def _by_oauth(ours: Fleet, name: str, silent: str) -> None:
    """A church whose tokens are to be renewed where nobody answers."""
    database = Database(ours.database, pool_size=1)
    new = NewConnection(
        org_id=name,
        organization_id=name,
        sub="1",
        client_id="bench",
        base_url=silent,
        scopes=("people",),
        access_token="over",  # noqa: S106 - opens nothing
        refresh_token="never answered",  # noqa: S106 - the same
        life_seconds=1,
        connected_by="the benchmark",
    )
    async with database.transaction() as connection:
        await store_connection(connection, new, TokenKeys([KEY]))
    await database.aclose()
    await save_oauth_church(name, silent)
    from deployments.provisioning.provision import find_block

    block = await find_block(name)
    assert block is not None
    block.scheduled = True
    await block.save(name, overwrite=True)


async def _backfills(broken: dict[str, str]) -> None:
    for name, way in broken.items():
        if way == "backfill":
            await start_organization(name, mode="full")


async def _runs(ours: Fleet) -> list[Any]:
    connection = await asyncpg.connect(ours.database)
    try:
        return list(
            await connection.fetch(
                "SELECT org_id, state, started_at, coalesce(completed_at, now()) AS updated_at "
                "FROM sync.runs WHERE entity = 'organization'"
            )
        )
    finally:
        await connection.close()


@contextmanager
def _silent_port() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
