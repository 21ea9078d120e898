"""A resident that fails is begun again, after waits that double while it fails, and begin anew once it has lived."""

import asyncio
from collections.abc import Sequence

import pytest

from pco_worker.residents import keep_alive

DAY = 86_400.0


class Enough(BaseException):
    """The test has seen enough."""


def waits(lives: Sequence[float]) -> list[float]:
    """How long is waited after a resident that lives for so many seconds each time, and then fails."""
    now, left, waited = [0.0], list(lives), list[float]()

    async def resident() -> None:
        if not left:
            raise Enough
        now[0] += left.pop(0)
        raise RuntimeError("the API is away")

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        now[0] += seconds

    with pytest.raises(Enough):
        asyncio.run(keep_alive("recovery", resident, clock=lambda: now[0], sleep=sleep))
    return waited


def test_the_waits_double_up_to_a_minute_while_it_fails() -> None:
    assert waits([0.1] * 8) == [1, 2, 4, 8, 16, 32, 60, 60]


def test_after_each_of_six_outages_in_a_week_it_is_begun_again_at_once() -> None:
    assert waits([DAY] * 6) == [1] * 6


def test_an_outage_after_a_long_one_begins_with_the_first_wait() -> None:
    assert waits([0.1, 0.1, 0.1, DAY, 0.1]) == [1, 2, 4, 1, 2]
