"""A church that does not answer holds no connection that another one of the same process needs."""

import asyncio

from pydantic import SecretStr

from pco_client import PageRequest, PersonalAccessToken
from tasks.credentials import Connection
from tasks.lifespan import opened_resources
from tasks.settings import SyncSettings
from tests.connections.consenting import until
from tests.simulators import SimulatorProcess

PEOPLE = PageRequest(path="/people/v2/people", api_version="2025-11-10", per_page=5)


async def test_a_silent_church_takes_no_connection_from_another(redis_url: str) -> None:
    settings = SyncSettings(
        database_url=SecretStr("postgresql://nowhere/pco"), redis_url=SecretStr(redis_url), pages_in_flight=2
    )
    with SimulatorProcess(people=30, groups=3, churches=2) as simulator:
        silent, other = simulator.church(0), simulator.church(1)
        silent.faults([{"kind": "hang", "permanent": True}])
        async with opened_resources(settings) as resources:
            clients = [
                resources.client_for(
                    Connection(credential=PersonalAccessToken(one.app_id, one.secret), base_url=one.base_url)
                )
                for one in (silent, other)
            ]
            waiting = [asyncio.create_task(clients[0].fetch_page(PEOPLE, expected_type="Person")) for _ in range(6)]
            await until(lambda: len(silent.access_log()) == settings.pages_in_flight)
            for _ in range(10):
                async with asyncio.timeout(10):
                    await clients[1].fetch_page(PEOPLE, expected_type="Person")
            assert len(silent.access_log()) == settings.pages_in_flight, "no church has more on their way"
            for one in waiting:
                one.cancel()
            await asyncio.wait(waiting)
