"""One table: what is done about an error, and how long a page is retried. Nothing else decides that."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Any, Final, TypeVar

from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task
from redis.exceptions import RedisError

from pco_client.errors import (
    AnswerTooLarge,
    PcoError,
    RetryError,
    ServerFault,
    SkipError,
    StopError,
    TooMuchIncluded,
    UndecodableAnswer,
    WaitError,
)
from pco_client.governor import GovernorUnavailable
from pco_client.redis_trouble import RedisRefused
from pco_store.errors import LeaseLost, StoreUnavailable
from tasks.settings import SyncSettings

T = TypeVar("T")

JITTER: Final = 0.5
"""Retry waits vary by this share, so that what failed together does not come back together."""

DELTA_SECONDS: Final = 60.0
"""How long a request of a church's delta is tried, answers that do not come included. The next delta comes in minutes,
and a church that does not answer must not keep a place from others until then.
"""


class Decision(Enum):
    """What the caller does about an error."""

    RETRY = "retry"
    STOP = "stop"


TABLE: tuple[tuple[type[BaseException], Decision], ...] = (
    (LeaseLost, Decision.STOP),  # another execution owns the run now
    (StopError, Decision.STOP),  # credential or request is wrong: the same request gets the same answer
    (SkipError, Decision.STOP),  # not there, or not for us
    (WaitError, Decision.RETRY),  # the budget did not come in the time one attempt may wait
    (AnswerTooLarge, Decision.STOP),  # less at a time is what helps (`tasks.pages.isolation`)
    (RetryError, Decision.RETRY),
    (RedisRefused, Decision.STOP),  # address, user or server must be changed first
    (GovernorUnavailable, Decision.RETRY),
    (RedisError, Decision.RETRY),
    (StoreUnavailable, Decision.RETRY),
)

POISONOUS: tuple[type[PcoError], ...] = (ServerFault, UndecodableAnswer)
"""Errors that one bad record can cause for its whole page; after the retries such a page is bisected."""

PATIENCE: Final = 2
"""Retries of what may fail each time: a single record that PCO cannot render, a page that may be too much."""


def decide(error: BaseException) -> Decision:
    """The decision for an error; what is not in the table is our own defect, and retrying would only hide it."""
    for kind, decision in TABLE:
        if isinstance(error, kind):
            return decision
    return Decision.STOP


def retry_delays(*, first: float, total: float) -> list[float]:
    """Waits in seconds that double from `first` and add up to `total`."""
    delays, left = [], total
    while left > 0 and first > 0:
        delays.append(min(first, left))
        left -= first
        first *= 2
    return delays


def delays_of(settings: SyncSettings) -> list[float]:
    """The waits that a sync's settings give to a request or a step that fails."""
    return retry_delays(first=settings.retry_first_seconds, total=settings.retry_total_seconds)


def part_delays(*, first: float) -> list[float]:
    """Waits for the parts of a page that was retried in full before; they only tell a bad record from bad luck."""
    return [first, 2 * first]


_CHANCE: Final = random.Random()  # noqa: S311 - spreads load only


async def retried(
    action: Callable[[int], Awaitable[T]],
    *,
    delays: Sequence[float],
    is_one_record: bool = False,
    is_part: bool = False,
    within: float | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
    chance: random.Random = _CHANCE,
) -> T:
    """What the action returns, which is called with the number of the attempt. Raises its last error.

    `is_one_record`: it is about one record, which PCO may never be able to render; `is_part`: about a part of a page
    that may be too much. `within`: seconds after which no other attempt begins, however long the earlier ones took.
    """
    attempt, began = 1, clock()
    while True:
        try:
            return await action(attempt)
        except Exception as error:
            is_hopeless = is_one_record and attempt > PATIENCE and isinstance(error, POISONOUS)
            is_hopeless |= is_part and isinstance(error, TooMuchIncluded)
            if attempt > len(delays) or is_hopeless or not _is_worth_another(error, attempt):
                raise
            delay = delays[attempt - 1] * chance.uniform(1, 1 + JITTER)
            if within is not None and clock() - began + delay > within:
                raise
        await sleep(delay)
        attempt += 1


async def is_worth_a_retry(task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    """Prefect's `retry_condition_fn`, answered from the table."""
    return _is_worth_another(await state.aresult(raise_on_failure=False), run.run_count)


async def is_worth_a_retry_of_a_part(task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    """The same for a part of a page: where it is too much, a smaller part is what helps."""
    error = await state.aresult(raise_on_failure=False)
    return not isinstance(error, TooMuchIncluded) and _is_worth_another(error, run.run_count)


def _is_worth_another(error: object, attempt: int) -> bool:
    if not isinstance(error, BaseException) or (isinstance(error, TooMuchIncluded) and attempt > PATIENCE):
        return False
    return decide(error) is Decision.RETRY
