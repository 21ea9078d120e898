"""What counts as an API that is away."""

from collections.abc import Iterator

import httpx
import pytest

from pco_worker.patience import is_away, until_told, until_told_sync

REQUEST = httpx.Request("POST", "http://127.0.0.1/api")


def refusal(status: int) -> httpx.HTTPStatusError:
    return httpx.HTTPStatusError("no", request=REQUEST, response=httpx.Response(status, request=REQUEST))


def test_silence_and_server_errors_pass_and_refusals_do_not() -> None:
    assert is_away(httpx.ConnectError("refused"))
    assert is_away(httpx.ReadTimeout("slow"))
    assert is_away(refusal(503))
    assert not is_away(refusal(404))
    assert not is_away(refusal(422))


async def test_what_must_be_told_is_told_again_until_it_is_heard() -> None:
    answers: Iterator[Exception | str] = iter([httpx.ConnectError("refused"), refusal(500), "heard"])

    def tell() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def tell_async() -> str:
        return tell()

    assert await until_told(tell_async) == "heard"
    answers = iter([httpx.ConnectError("refused"), "heard"])
    assert until_told_sync(tell) == "heard"


async def test_a_refusal_is_raised_at_once() -> None:
    async def tell() -> str:
        raise refusal(409)

    with pytest.raises(httpx.HTTPStatusError):
        await until_told(tell)
