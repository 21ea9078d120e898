"""Whole fan-outs of records whose parents only the path tells: one parent each, or many that share them."""

from collections.abc import AsyncIterator

import pytest

from pco_simulator.testing import SimulatorProcess
from tests.integration.whole_fan_outs import FanOutChurch, fan_out_church

TAGS = "groups.Tag"


@pytest.fixture
async def tags(database_url: str, redis_url: str) -> AsyncIterator[FanOutChurch]:
    """The tags of some groups, mirrored once below those groups."""
    with SimulatorProcess(people=20, groups=3) as world:
        async with fan_out_church(world, TAGS, database_url=database_url, redis_url=redis_url) as church:
            yield church
