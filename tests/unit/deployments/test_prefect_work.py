"""What keeps syncs from running, as `status` names it."""

from datetime import UTC, datetime

import pytest

from deployments.current.prefect_work import PrefectWork, Scheduled

NEXT = datetime(2026, 11, 29, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("workers", "active", "troubles"),
    [
        ({"pool": 1}, [1, 3], []),
        ({"pool": 0}, [1], ["no worker is online on the work pool pool"]),
        ({"pool": 1}, [2, 0], ["all schedules of deployment-1 are off"]),
        ({"pool": 1}, [], ["nothing is deployed: `make deploy`"]),
    ],
)
def test_what_keeps_syncs_from_running_is_named(
    workers: dict[str, int], active: list[int], troubles: list[str]
) -> None:
    scheduled = tuple(
        Scheduled(deployment=f"deployment-{place}", active=number, schedules=3, next_at=NEXT)
        for place, number in enumerate(active)
    )
    assert PrefectWork(workers=workers, scheduled=scheduled).troubles == troubles


@pytest.mark.parametrize(("online", "is_said"), [(1, True), (0, False)])
def test_workers_that_cannot_keep_up_are_named_and_none_that_are_not_there(online: int, is_said: bool) -> None:
    scheduled = (Scheduled(deployment="deltas", active=1, schedules=1, next_at=NEXT),)
    work = PrefectWork(workers={"pool": online}, scheduled=scheduled, late=12, late_since=NEXT)
    told = (
        "the workers cannot keep up: 12 runs waited for a place since 2026-11-29 01:30 UTC; start another worker, or "
        "raise its --limit"
    )
    assert (told in work.troubles) == is_said
