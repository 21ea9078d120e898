"""A simulator without a socket, on a clock that the test moves, and a way to ask it."""

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pco_simulator.answering.replay import Recording, read_captures
from pco_simulator.app import build_app
from pco_simulator.contents.world import World
from pco_simulator.rate_window import RateRules
from pco_simulator.settings import Settings
from pco_simulator.simulator import Reply, Request, Simulator
from pco_simulator.trouble.faults import Fault

RECORDINGS = Path(__file__).resolve().parents[2] / "recordings"
PEOPLE = "/people/v2/people"


@dataclass
class Clock:
    """Seconds that pass when they are told to."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def simulator(
    *,
    seed: int = 1,
    people: int = 230,
    groups: int = 20,
    now: datetime | None = None,
    rules: RateRules | None = None,
    forbidden: frozenset[str] = frozenset(),
    faults: tuple[Fault, ...] = (),
    recording: str | None = None,
    clock: Clock | None = None,
) -> Simulator:
    """A small church whose only application is `app` with the secret `secret`."""
    recorded = Recording(read_captures((RECORDINGS / recording).read_text("utf-8"))) if recording else None
    made = Simulator(
        World(seed=seed, people=people, groups=groups, now=now),
        Settings(credentials={"app": "secret"}, rules=rules or RateRules(), forbidden=forbidden),
        recording=recorded,
        clock=clock or Clock(),
    )
    made.faults.replace(list(faults))
    return made


def ask(
    one: Simulator,
    path: str,
    query: str = "",
    *,
    app_id: str = "app",
    secret: str = "secret",
    method: str = "GET",
    headers: dict[bytes, bytes] | None = None,
) -> Reply:
    """Send a request with the credential."""
    pair = base64.b64encode(f"{app_id}:{secret}".encode())
    sent = {b"authorization": b"Basic " + pair, b"user-agent": b"a test", **(headers or {})}
    return one.reply(Request(method=method, path=path, query=query, headers=sent))


def page(one: Simulator, path: str = PEOPLE, query: str = "") -> dict[str, Any]:
    """The document of a request that is answered with 200."""
    answer = ask(one, path, query).answer
    assert answer.status == 200, answer.body
    document: dict[str, Any] = json.loads(answer.body)
    return document


def ids(document: dict[str, Any]) -> list[str]:
    """The ids of a page."""
    return [one["id"] for one in document["data"]]


def all_ids(one: Simulator, path: str = PEOPLE, query: str = "") -> list[str]:
    """The ids of a whole list, following its next offsets."""
    found: list[str] = []
    offset: int | None = 0
    while offset is not None:
        document = page(one, path, f"per_page=100&offset={offset}{'&' if query else ''}{query}")
        found += ids(document)
        offset = document["meta"].get("next", {}).get("offset")
    return found


async def headers_of(
    one: Simulator, path: str, *, user_agent: bool = True, version: bytes = b"2025-11-10"
) -> dict[str, str]:
    """The headers of an answer as they travel."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    known = [(b"authorization", b"Basic YXBwOnNlY3JldA=="), (b"x-pco-api-version", version)]
    headers = [*known, (b"user-agent", b"a test")] if user_agent else known
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers}
    await build_app(one)(scope, receive, send)
    return {name.decode(): value.decode() for name, value in sent[0]["headers"]}
