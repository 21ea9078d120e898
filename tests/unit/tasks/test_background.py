"""What runs beside the work ends when it is told to, even if it does not hear it the first time."""

import asyncio

import pytest

from tasks import background as interrupting
from tasks.background import interrupt


async def test_a_task_that_lost_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupting, "AGAIN_SECONDS", 0.01)
    lost = 0

    async def go_on_for_ever() -> None:
        nonlocal lost
        while lost < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost += 1
        await asyncio.Event().wait()

    task = asyncio.create_task(go_on_for_ever())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await interrupt(task)

    assert task.cancelled()
    assert lost == 2


async def test_what_ended_by_itself_stays_as_it_is() -> None:
    async def fail() -> None:
        raise ValueError

    failed, done = asyncio.create_task(fail()), asyncio.create_task(asyncio.sleep(0, "done"))
    await asyncio.wait([failed, done])

    await interrupt(failed, done)
    await interrupt()

    assert isinstance(failed.exception(), ValueError)
    assert done.result() == "done"
