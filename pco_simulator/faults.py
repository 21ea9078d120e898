"""Bad answers by plan: which requests they meet, and what they look like."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from pco_simulator.pages import error_document

JSON: Final = b"application/json; charset=utf-8"
HTML: Final = b"text/html"
PAGE: Final = b"<!DOCTYPE html><html><head><title>%b</title></head><body><h1>%b</h1></body></html>"
KINDS: Final = (
    "500", "502", "503", "504", "429", "402", "403", "404", "204", "html", "html-403", "half-json", "half-body",
    "object", "wrong-type", "stuck-next", "hang",
)  # fmt: skip


@dataclass(kw_only=True)
class Fault:
    """A rule. What is left out matches everything; `times` None is for ever.

    `record_id`: whenever this record would be part of the answer.
    """

    kind: str
    path: str | None = None
    offset: int | None = None
    at_request: int | None = None
    record_id: str | None = None
    probability: float = 1.0
    times: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}; known: {', '.join(KINDS)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An HTTP answer. `missing` bytes are promised by content-length and never sent."""

    status: int
    content_type: bytes
    body: bytes
    missing: int = 0
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(kw_only=True)
class FaultPlan:
    """The faults in force; drawn by a seeded chance."""

    seed: int
    faults: list[Fault] = field(default_factory=list)
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def choose(self, *, number: int, path: str, offset: int, ids: Sequence[int]) -> Fault | None:
        """The fault that meets this request."""
        for fault in self.faults:
            if (
                fault.times != 0
                and fault.path in (None, path)
                and fault.offset in (None, offset)
                and fault.at_request in (None, number)
                and (fault.record_id is None or int(fault.record_id) in ids)
                and (fault.probability >= 1.0 or self._chance.random() < fault.probability)
            ):
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None


def bad_answer(kind: str, good: bytes) -> Answer:
    """The answer in place of the good one. `hang` is not an answer."""
    match kind:
        case "html":
            return Answer(status=200, content_type=HTML, body=PAGE % (b"Maintenance", b"We will be back"))
        case "html-403":
            return Answer(status=403, content_type=HTML, body=PAGE % (b"ERROR", b"The request could not be satisfied"))
        case "204":
            return Answer(status=204, content_type=JSON, body=b"")
        case "half-json":
            return Answer(status=200, content_type=JSON, body=good[: len(good) // 2])
        case "half-body":
            return Answer(
                status=200, content_type=JSON, body=good[: len(good) // 2], missing=len(good) - len(good) // 2
            )
        case "object":
            document = orjson.loads(good)
            document["data"] = (document["data"] or [{}])[0]
            return Answer(status=200, content_type=JSON, body=orjson.dumps(document))
        case "wrong-type":
            return _changed(good, lambda document: [one.update(type="Impostor") for one in document["data"]])
        case "stuck-next":
            return _changed(good, lambda document: document["meta"].update(next={"offset": _offset(document)}))
        case "402" | "403" | "404":
            return Answer(status=int(kind), content_type=JSON, body=error_document(int(kind), "No", "not for you"))
        case "429":
            body = error_document(429, "Too Many Requests", "Rate limit exceeded: 118 of 100 requests per 20 seconds")
            return Answer(status=429, content_type=JSON, body=body, headers=((b"retry-after", b"1"),))
    return Answer(status=int(kind), content_type=HTML, body=PAGE % (kind.encode(), b"Something went wrong"))


def _changed(good: bytes, change: Any) -> Answer:
    document = orjson.loads(good)
    change(document)
    return Answer(status=200, content_type=JSON, body=orjson.dumps(document))


def _offset(document: Any) -> int:
    following: int = document["meta"].get("next", {}).get("offset", document["meta"]["count"])
    return max(following - int(document["meta"]["count"]), 0)
