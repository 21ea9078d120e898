"""Recorded answers for tests: an httpx transport, so that nothing is patched."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import httpx


class RecordedTransport(httpx.AsyncBaseTransport):
    """Replays captures (`method`, `url`, `status`, `headers`, `body`) by method, path and query, in any order.

    A body that is an object is sent as JSON; text is sent as it is, and null as nothing.
    """

    def __init__(self, captures: Sequence[Mapping[str, Any]]) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = {_key(one["method"], httpx.URL(one["url"])): one for one in captures}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The recorded answer. Raises `LookupError` for a request that was not recorded."""
        self.requests.append(request)
        capture = self._answers.get(_key(request.method, request.url))
        if capture is None:
            raise LookupError(f"not recorded: {request.method} {request.url.path}")
        return httpx.Response(
            capture["status"],
            headers=capture["headers"],
            content=_content(capture["body"]),
            request=request,
        )


def _key(method: str, url: httpx.URL) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    return method, url.path, tuple(sorted(url.params.multi_items()))


def _content(body: Any) -> bytes:
    if body is None:
        return b""
    return body.encode("utf-8") if isinstance(body, str) else json.dumps(body).encode("utf-8")
