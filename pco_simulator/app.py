"""The simulator as an ASGI application: authentication, rate limit, faults, churn, answers."""

import asyncio
import base64
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pco_simulator.churn import Churn
from pco_simulator.faults import HTML, JSON, PAGE, Answer, FaultPlan, bad_answer
from pco_simulator.pages import error_document, list_document, organization_document, record_document
from pco_simulator.query import ListQuery, read_query, select_ids
from pco_simulator.rate_window import RateRules, RateWindow, Verdict
from pco_simulator.replay import Recording
from pco_simulator.world import Collection, World

Send = Callable[[dict[str, Any]], Awaitable[None]]
API_JSON: Final = b"application/vnd.api+json; charset=utf-8"
DEEP: Final = 30_000
LONG: Final = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """One request of the API, as the access log keeps it. `at` is seconds since the simulator started."""

    number: int
    at: float
    path: str
    query: str
    offset: int
    status: int
    credential: str
    user_agent: str
    version: str


@dataclass(kw_only=True)
class Settings:
    """What can be changed while it runs. `latency` is the mean in seconds; each answer takes half to one and a half."""

    credentials: Mapping[str, str]
    rules: RateRules = field(default_factory=RateRules)
    latency: float = 0.0
    forbidden: frozenset[str] = frozenset()


class Simulator:
    """All state of one simulated Planning Center."""

    def __init__(self, world: World, settings: Settings, recording: Recording | None = None) -> None:
        self.world = world
        self.settings = settings
        self.recording = recording
        self.faults = FaultPlan(seed=world.seed)
        self.churn = Churn()
        self.access_log: list[Access] = []
        self.windows: dict[str, RateWindow] = {}
        self.served = 0
        self.started = time.monotonic()
        self._chance = random.Random(world.seed)
        self._selections: dict[tuple[str, Any], tuple[int, list[int]]] = {}
        self._bodies: dict[tuple[str, str], tuple[int, bytes]] = {}

    async def answer(self, path: str, query: str, headers: Mapping[bytes, bytes], send: Send) -> None:
        """Answer one request of the API."""
        arrived = time.monotonic() - self.started
        credential, refusal = self._authenticate(headers)
        found = self.world.find_list(path)
        asked = read_query(query, found[0].entity) if found else None
        offset = asked.offset if asked else 0
        window = self.windows.setdefault(credential, RateWindow(rules=self.settings.rules))
        verdict = window.count(arrived, deep=offset > DEEP)
        self.churn.apply_due(self.world, self.served)
        self.served += 1
        number = self.served
        answer = refusal or self._limit(verdict) or self._serve(path, query, found, asked, number)
        self.access_log.append(
            Access(
                number=number,
                at=arrived,
                path=path,
                query=query,
                offset=offset,
                status=answer.status if answer else 0,
                credential=credential,
                user_agent=headers.get(b"user-agent", b"").decode("latin-1"),
                version=headers.get(b"x-pco-api-version", b"").decode("latin-1"),
            )
        )
        if answer is None:
            await asyncio.sleep(LONG)
            return
        if self.settings.latency:
            await asyncio.sleep(self.settings.latency * self._chance.uniform(0.5, 1.5))
        await self._send(answer, verdict, number, headers, send)

    def _authenticate(self, headers: Mapping[bytes, bytes]) -> tuple[str, Answer | None]:
        if not headers.get(b"user-agent"):
            return "", Answer(status=403, content_type=HTML, body=PAGE % (b"ERROR", b"Request blocked"))
        kind, _, encoded = headers.get(b"authorization", b"").partition(b" ")
        name = secret = ""
        if kind.lower() == b"basic":
            try:
                name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
            except ValueError:
                name = ""
        if name and self.settings.credentials.get(name) == secret:
            return name, None
        detail = "You did not provide valid credentials. BLACKBIRD" if not name else "The credentials are not valid."
        return "", Answer(status=401, content_type=JSON, body=error_document(401, "Unauthorized", detail))

    def _limit(self, verdict: Verdict) -> Answer | None:
        if verdict.retry_after is None:
            return None
        period = self.settings.rules.period
        told = f"Rate limit exceeded: {verdict.count} of {verdict.limit} requests per {period} seconds"
        return Answer(
            status=429,
            content_type=JSON,
            body=error_document(429, "Too Many Requests", told),
            headers=((b"retry-after", str(verdict.retry_after).encode()),),
        )

    def _serve(
        self, path: str, query: str, found: tuple[Collection, str, str] | None, asked: ListQuery | None, number: int
    ) -> Answer | None:
        """The answer, or None to leave the client hanging."""
        parts = path.split("/")
        product = parts[1] if len(parts) > 2 and parts[2] == "v2" else ""
        if product in self.settings.forbidden:
            told = "You do not have access to this resource"
            return Answer(status=403, content_type=JSON, body=error_document(403, "Forbidden", told))
        ids: list[int] = []
        good = self.recording.answer(path, query) if self.recording else None
        if good is None and found and asked:
            selected = self._select(found, asked)
            ids = selected[asked.offset : asked.offset + asked.per_page]
            good = Answer(status=200, content_type=API_JSON, body=self._body(found[0], selected, asked, path, query))
        elif good is None:
            good = self._single(path, product, parts)
        fault = self.faults.choose(number=number, path=path, offset=asked.offset if asked else 0, ids=ids)
        if fault is None:
            return good
        return None if fault.kind == "hang" else bad_answer(fault.kind, good.body)

    def _single(self, path: str, product: str, parts: list[str]) -> Answer:
        if product and len(parts) == 3:
            return Answer(status=200, content_type=API_JSON, body=organization_document(product))
        record = self.world.find_record(path)
        if record is not None:
            return Answer(status=200, content_type=API_JSON, body=record_document(record))
        told = "The resource you requested could not be found"
        return Answer(status=404, content_type=JSON, body=error_document(404, "Not Found", told))

    def _select(self, found: tuple[Collection, str, str], asked: ListQuery) -> list[int]:
        collection, relationship, parent_id = found
        if not (asked.where or asked.order or relationship):
            return collection.ids
        key = (collection.entity.name, (asked.where, asked.order, relationship, parent_id))
        known = self._selections.get(key)
        if known is None or known[0] != collection.version:
            known = (collection.version, select_ids(collection, asked, (relationship, parent_id)))
            self._selections[key] = known
        return known[1]

    def _body(self, collection: Collection, ids: list[int], asked: ListQuery, path: str, query: str) -> bytes:
        known = self._bodies.get((path, query))
        if known is None or known[0] != collection.version:
            known = (collection.version, list_document(collection, ids, asked, path, query))
            self._bodies[path, query] = known
        return known[1]

    async def _send(
        self, answer: Answer, verdict: Verdict, number: int, asked: Mapping[bytes, bytes], send: Send
    ) -> None:
        rules = self.settings.rules
        length = len(answer.body) + answer.missing
        headers = [
            (b"content-type", answer.content_type),
            (b"x-pco-api-request-rate-limit", str(verdict.limit).encode()),
            (b"x-pco-api-request-rate-period", _period(rules.period, answer.status)),
            (b"x-pco-api-request-rate-count", str(verdict.count).encode()),
            (b"x-pco-api-auth-method", b"HTTPBasic"),
            (b"x-pco-api-processor", b"SIMULATOR"),
            (b"x-pco-api-processed-as-version", asked.get(b"x-pco-api-version", b"2018-08-01")),
            (b"x-request-id", b"sim-%d" % number),
            *answer.headers,
        ]  # fmt: skip
        if answer.status != 204:
            headers.append((b"content-length", b"%d" % length))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


def _period(seconds: int, status: int) -> bytes:
    """The product servers write a number; the gateway, which answers unknown paths, writes words."""
    return b"%d seconds" % seconds if status == 404 else b"%d" % seconds
