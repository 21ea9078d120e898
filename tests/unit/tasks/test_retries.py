"""The table of retries: every error of the client and the store has a decision."""

import asyncio
import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Failed
from redis.exceptions import RedisError

from pco_client import errors as client
from pco_client.governor import GovernorUnavailable
from pco_client.redis_trouble import RedisRefused
from pco_store import errors as store
from pco_walks.alike import EndlessListError
from pco_walks.newest_first import WalkStuckError
from pco_walks.window import ModeNotPossibleError
from tasks.retries import (
    POISONOUS,
    Decision,
    decide,
    is_worth_a_retry,
    is_worth_a_retry_of_a_part,
    part_delays,
    retried,
    retry_delays,
)

RETRY, STOP = Decision.RETRY, Decision.STOP

DECISIONS: dict[BaseException, Decision] = {
    client.Unreachable("refused"): RETRY,
    client.ServerFault("503"): RETRY,
    client.TooMuchIncluded("504", where="w", status=504): RETRY,
    client.AnswerTooLarge("5 MiB", where="w", status=200): STOP,
    client.UndecodableAnswer("half"): RETRY,
    client.EdgeBlocked("HTML"): RETRY,
    client.RateLimited("429", retry_after_seconds=3.0): RETRY,
    client.NotFound("404"): STOP,
    client.Forbidden("403"): STOP,
    client.PlanLacksFeature("402"): STOP,
    client.CannotConnect("a certificate"): STOP,
    client.Unauthorized("401", hint="BABOON"): STOP,
    client.BadRequest("422"): STOP,
    client.NeedsAuthorisation("dead tokens"): STOP,
    client.GrantRefused("invalid_grant"): STOP,
    client.ClientRefused("invalid_client"): STOP,
    client.UnexpectedDocument("an object"): STOP,
    client.UnexpectedStatus("418"): STOP,
    store.StoreUnavailable("refused"): RETRY,
    store.StoreInUse("a lock"): RETRY,
    store.TokenKeysWrong("no key"): STOP,
    store.ConnectedTwice("grace", "1"): STOP,
    store.ChurchRemoved("grace", is_over=False): STOP,
    store.SchemaMissing(): STOP,
    store.SchemaOutdated("0001", "0002"): STOP,
    store.SchemaNewer("0003", "0002"): STOP,
    store.DatabaseAddressWrong("sslmode"): STOP,
    store.StatementRefused("no such table"): STOP,
    store.PlanDiffers("sync-organization:grace:e", "include ['giving']"): STOP,
    store.LeaseLost("sync-entity:grace:people.Person:e", 1): STOP,
    GovernorUnavailable("away"): RETRY,
    RedisRefused("a wrong password"): STOP,
    RedisError("away"): RETRY,
    ModeNotPossibleError("no filter"): STOP,
    WalkStuckError(0, 3): STOP,
    EndlessListError(0, 20): STOP,
    KeyError("our own defect"): STOP,
}


def tried(times: int) -> TaskRun:
    return TaskRun(task_key="process-page", dynamic_key="0", run_count=times)


@pytest.mark.parametrize(("error", "decision"), DECISIONS.items(), ids=lambda one: type(one).__name__)
async def test_the_table_decides_about_each_error(error: BaseException, decision: Decision) -> None:
    assert decide(error) is decision
    state: State[Any] = Failed(data=error)
    assert await is_worth_a_retry(cast(Any, None), tried(1), state) is (decision is RETRY)


def leaves(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    """The classes below, that have none below themselves."""
    below = kind.__subclasses__()
    if not below:
        yield kind
    for one in below:
        yield from leaves(one)


@pytest.mark.parametrize("tree", [client.PcoError, store.StoreError])
def test_no_error_of_client_and_store_is_left_undecided(tree: type[BaseException]) -> None:
    assert set(leaves(tree)) <= {type(error) for error in DECISIONS}


@pytest.mark.parametrize("error", [one for one in DECISIONS if isinstance(one, client.PcoError)])
def test_only_what_one_bad_record_can_cause_makes_a_page_be_bisected(error: BaseException) -> None:
    assert isinstance(error, POISONOUS) is isinstance(error, client.ServerFault | client.UndecodableAnswer)
    is_as_before = isinstance(error, POISONOUS) and not isinstance(error, client.AnswerTooLarge)
    assert not is_as_before or decide(error) is RETRY, "less at a time is what helps against too much"


@given(first=st.floats(0.01, 60), total=st.floats(0.01, 3600))
def test_waits_double_from_the_first_and_add_up_to_the_total(first: float, total: float) -> None:
    delays = retry_delays(first=first, total=total)
    assert sum(delays) == pytest.approx(total)
    assert delays[0] == min(first, total)
    assert all(later == earlier * 2 for earlier, later in pairwise(delays[:-1]))
    assert delays[-1] <= first * 2 ** (len(delays) - 1)


def test_by_default_a_page_is_retried_for_five_minutes() -> None:
    assert retry_delays(first=1.0, total=300.0) == [1, 2, 4, 8, 16, 32, 64, 128, 45]


@pytest.mark.parametrize(("first", "total"), [(0.0, 300.0), (1.0, 0.0)])
def test_no_waits_means_no_retries(first: float, total: float) -> None:
    assert retry_delays(first=first, total=total) == []


class Waits:
    """Takes down how long was slept, instead of sleeping."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)


@given(chance=st.integers(0, 2**32), first=st.floats(0.01, 10))
def test_no_wait_is_shorter_than_it_should_be_nor_more_than_half_as_long_again(chance: int, first: float) -> None:
    waits, delays = Waits(), retry_delays(first=first, total=20 * first)

    async def fail(attempt: int) -> None:
        raise client.ServerFault("503")

    async def run() -> None:
        with pytest.raises(client.ServerFault):
            await retried(fail, delays=delays, sleep=waits.sleep, chance=random.Random(chance))

    asyncio.run(run())
    assert len(waits.seconds) == len(delays)
    assert all(delay <= waited <= delay * 1.5 for delay, waited in zip(delays, waits.seconds, strict=True))


def test_waits_are_spread_over_their_whole_range() -> None:
    waits = Waits()

    async def fail(attempt: int) -> None:
        raise client.ServerFault("503")

    async def run() -> None:
        with pytest.raises(client.ServerFault):
            await retried(fail, delays=[1.0] * 300, sleep=waits.sleep, chance=random.Random(1))

    asyncio.run(run())
    assert min(waits.seconds) < 1.05
    assert max(waits.seconds) > 1.45


async def test_an_action_is_told_its_attempt_and_is_not_tried_again_once_it_succeeds_or_cannot() -> None:
    attempts: list[int] = []

    async def second_time(attempt: int) -> str:
        attempts.append(attempt)
        if attempt < 2:
            raise client.Unreachable("refused")
        return "done"

    assert await retried(second_time, delays=[0.0] * 5) == "done"
    assert attempts == [1, 2]

    async def hopeless(attempt: int) -> None:
        attempts.append(attempt)
        raise client.BadRequest("422")

    with pytest.raises(client.BadRequest):
        await retried(hopeless, delays=[0.0] * 5)
    assert attempts == [1, 2, 1]


async def test_a_page_that_may_be_too_much_is_soon_asked_for_in_parts() -> None:
    too_much, attempts = client.TooMuchIncluded("504", where="w", status=504), []

    async def fail(attempt: int) -> None:
        attempts.append(attempt)
        raise too_much

    with pytest.raises(client.TooMuchIncluded):
        await retried(fail, delays=[0.0] * 5)
    assert attempts == [1, 2, 3]
    state: State[Any] = Failed(data=too_much)
    assert [await is_worth_a_retry(cast(Any, None), tried(one), state) for one in attempts] == [True, True, False]
    assert not await is_worth_a_retry_of_a_part(cast(Any, None), tried(1), state), "a smaller one is asked for at once"
    attempts.clear()
    with pytest.raises(client.TooMuchIncluded):
        await retried(fail, delays=[0.0] * 5, is_part=True)
    assert attempts == [1]


def test_the_parts_of_a_page_get_two_short_waits() -> None:
    assert part_delays(first=0.5) == [0.5, 1.0]


@pytest.mark.parametrize(("takes", "attempts"), [(60.0, 1), (15.0, 4), (0.0, 6)])
async def test_what_is_tried_within_a_time_counts_answers_that_do_not_come(takes: float, attempts: int) -> None:
    now, made = [0.0], [0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    async def ask(_: int) -> None:
        made[0] += 1
        now[0] += takes
        raise client.Unreachable("silence")

    with pytest.raises(client.Unreachable):
        await retried(
            ask,
            delays=retry_delays(first=1, total=300),
            within=60,
            sleep=sleep,
            clock=lambda: now[0],
            chance=random.Random(1),
        )
    assert made[0] == attempts
    assert now[0] <= 75
