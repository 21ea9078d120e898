"""From a request to an answer: authentication, rate limit, churn, faults, pages. No socket; the clock is given."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from pco_simulator.answering.access_log import Access, AccessLog
from pco_simulator.answering.answers import Answer, forbidden, refusal, too_many, unknown_path, unknown_record
from pco_simulator.answering.authentication import Admit, authenticate
from pco_simulator.answering.documents import list_document, organization_document, record_document, sparse
from pco_simulator.answering.including import include
from pco_simulator.answering.paging import page_window
from pco_simulator.answering.query import ListQuery, read_query
from pco_simulator.answering.replay import Recording
from pco_simulator.answering.selection import select_ids
from pco_simulator.contents.churn import Churn
from pco_simulator.contents.collection import Collection
from pco_simulator.contents.listing import ListFacts
from pco_simulator.contents.places import FixedPlace, ListPlace, NoRecord, Place, RecordPlace
from pco_simulator.contents.related import links_of, locate_edge
from pco_simulator.contents.world import World
from pco_simulator.rate_window import RateWindow, Verdict
from pco_simulator.settings import Drop, Settings
from pco_simulator.trouble.faults import FaultPlan
from pco_simulator.trouble.lapses import Lapses, TooMuchIncluded
from pco_simulator.trouble.poison import poisoned
from pco_simulator.trouble.spoiling import Rule, bad_answer

DEEP: Final = 30_000
"""Beyond this offset PCO counts harder."""

_FIRST_VERSION: Final = b"2018-08-01"
_PAGES_KEPT: Final = 512
_SELECTIONS_KEPT: Final = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A request of the API; header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[bytes, bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """An answer with what its headers say; `n` is the number of the request."""

    answer: Answer
    verdict: Verdict
    n: int


class Simulator:
    """All state of one simulated Planning Center. `clock` gives seconds that never go back."""

    def __init__(
        self,
        world: World,
        settings: Settings,
        *,
        recording: Recording | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.world = world
        self.settings = settings
        self.recording = recording
        self.faults = FaultPlan(world.seed)
        self.churn = Churn()
        self.log = AccessLog()
        self.windows: dict[str, RateWindow] = {}
        self.drops: list[Drop] = []
        self.admit: Admit | None = None
        self._clock = clock
        self._started = clock()
        self._pages: OrderedDict[tuple[Any, ...], tuple[int, bytes]] = OrderedDict()
        self._with_includes: OrderedDict[tuple[Any, ...], tuple[int, tuple[list[bytes], list[bytes]]]] = OrderedDict()
        self._selections: OrderedDict[tuple[Any, ...], Sequence[int]] = OrderedDict()

    def reply(self, request: Request) -> Reply:
        """Answer one request, and log it."""
        now = self._clock() - self._started
        n = self.log.next_number
        self.churn.apply_due(self.world, n - 1)
        self._apply_drops(n - 1)
        credential, refused = authenticate(
            request.headers, self.settings.credentials, product=_product(request), admit=self.admit
        )
        place = self._locate(request)
        query = ListQuery()
        if isinstance(place, ListPlace | RecordPlace):
            query = read_query(request.query, place.facts, clock=self.world.now)
        query = self.faults.misread(query.without(self.settings.ignores), number=n, path=request.path)
        window = self.windows.setdefault(credential, RateWindow())
        verdict = window.count(now, self.settings.rules, deep=query.offset > DEEP)
        fault = ""
        if refused is not None:
            answer = refused
        elif verdict.retry_after is not None:
            answer = too_many(verdict.count, verdict.limit, verdict.period, verdict.retry_after)
        else:
            answer, fault = self._serve(request, place, query, verdict, n)
        self.log.entries.append(
            Access(
                n=n,
                at=round(now, 6),
                path=request.path,
                query=request.query,
                offset=query.offset,
                per_page=query.per_page,
                status=answer.status,
                credential=credential,
                user_agent=request.headers.get(b"user-agent", b"").decode("latin-1"),
                version=request.headers.get(b"x-pco-api-version", b"").decode("latin-1"),
                fault=fault,
            )
        )
        return Reply(answer=answer, verdict=verdict, n=n)

    def state(self, name: str) -> Sequence[Mapping[str, Any]]:
        """Every record of an entity as it is now. Raises `UnknownEntity`."""
        return self.recording.state(name) if self.recording else self.world.state(name)

    def forget(self) -> None:
        """Empty the access log and the rate windows: numbers start at 1 again."""
        self.log.clear()
        self.windows.clear()

    def _apply_drops(self, requests: int) -> None:
        for drop in [one for one in self.drops if one.after_request <= requests]:
            self.settings = replace(self.settings, rules=replace(self.settings.rules, limit=drop.limit))
            self.drops.remove(drop)

    def _locate(self, request: Request) -> Place | None:
        if self.recording is not None:
            return self.recording.locate(request.path, request.query)
        return self.world.locate(request.path) or locate_edge(self.world, request.path)

    def _serve(
        self, request: Request, place: Place | None, query: ListQuery, verdict: Verdict, n: int
    ) -> tuple[Answer, str]:
        """The answer, and the kind of fault that it met."""
        if _product(request) in self.settings.forbidden:
            return forbidden(), ""
        if request.headers.get(b"x-pco-api-version", _FIRST_VERSION) < _FIRST_VERSION:
            return refusal(400, "Bad Request", "No such version", code="unsupported_version_error"), ""
        if request.method != "GET":
            return refusal(405, "Method Not Allowed", "The simulator can only be read"), ""
        ids = self._answered_ids(place, query)
        poisons = self.faults.poisons(number=n, path=request.path, offset=query.offset, ids=ids)
        lapses = self.faults.lapses(number=n, path=request.path, offset=query.offset, ids=ids, names=query.include)
        try:
            good = self._good_answer(request, place, query, ids, _Spoilt(poisons=poisons, lapses=lapses))
        except TooMuchIncluded as error:
            self.faults.use(error.rule)
            return bad_answer(Rule(kind="504"), Answer(), verdict=verdict, offset=query.offset), error.rule.kind
        fault = self.faults.bad_answer(number=n, path=request.path, offset=query.offset, ids=ids)
        if fault is None:
            return good, ",".join(sorted({*poisons.values(), *lapses.kinds}))
        bad = bad_answer(fault, good, verdict=verdict, offset=query.offset)
        return bad, fault.kind

    def _answered_ids(self, place: Place | None, query: ListQuery) -> Sequence[int]:
        if isinstance(place, ListPlace):
            shown = self._select(place, query)
            most = len(shown) if self.settings.cap_counts_only else self._count(place, query)
            return shown[query.offset : min(query.offset + query.per_page, most)]
        return (place.id,) if isinstance(place, RecordPlace) else ()

    def _good_answer(
        self, request: Request, place: Place | None, query: ListQuery, ids: Sequence[int], spoilt: "_Spoilt"
    ) -> Answer:
        match place:
            case ListPlace():
                return Answer(body=self._page(request, place, query, ids, spoilt))
            case RecordPlace():
                rows, included = self._rows(place, query, ids, spoilt)
                return Answer(body=record_document(rows[0], included, spoilt.facts(place.facts)))
            case FixedPlace():
                return place.answer
            case NoRecord():
                return unknown_record()
        parts = request.path.split("/")
        if len(parts) == 3 and parts[2] == "v2" and parts[1] in self.world.products:
            return Answer(body=organization_document(self.world.church, parts[1]))
        return unknown_path()

    def _page(
        self, request: Request, place: ListPlace, query: ListQuery, ids: Sequence[int], spoilt: "_Spoilt"
    ) -> bytes:
        key = (request.path, request.query, query)
        is_of_one_kind = place.ids is None and not query.include
        version = place.listing.version if is_of_one_kind else self.world.version
        known = self._pages.get(key)
        if known is not None and known[0] == version and not spoilt:
            self._pages.move_to_end(key)
            return known[1]
        rows, included = self._rows_of_page(place, query, ids, spoilt)
        body = list_document(
            rows=rows,
            included=included,
            window=page_window(offset=query.offset, per_page=query.per_page, total=self._count(place, query)),
            facts=spoilt.facts(place.facts),
            path=request.path,
            raw_query=request.query,
        )
        if not spoilt:
            _keep(self._pages, key, (version, body), _PAGES_KEPT)
        return body

    def _rows_of_page(
        self, place: ListPlace, query: ListQuery, ids: Sequence[int], spoilt: "_Spoilt"
    ) -> tuple[list[bytes], list[bytes]]:
        """Those of `_rows`; with includes they are remembered, because a walk's window makes its query a new one."""
        if not query.include or spoilt:
            return self._rows(place, query, ids, spoilt)
        key = (place.listing.name, query.include, query.fields, tuple(ids))
        known = self._with_includes.get(key)
        if known is None or known[0] != self.world.version:
            known = self.world.version, self._rows(place, query, ids, spoilt)
        _keep(self._with_includes, key, known, _PAGES_KEPT)
        return known[1]

    def _rows(
        self, place: ListPlace | RecordPlace, query: ListQuery, ids: Sequence[int], spoilt: "_Spoilt"
    ) -> tuple[list[bytes], list[bytes]]:
        listing, fields, names = place.listing, dict(query.fields), spoilt.lapses.known(query.include)
        included: list[bytes] = []
        invented = listing if isinstance(listing, Collection) else None
        is_alone = isinstance(place, RecordPlace) and invented is not None
        if place.type not in fields and not names and not is_alone:
            rows = [listing.rendered(one) for one in ids]
        else:
            documents = [invented.loaded(one) if invented else dict(listing.document(one)) for one in ids]
            if names and invented:
                included = include(self.world, invented, documents, names, fields, spoilt.lapses)
            if place.type in fields:
                documents = [sparse(one, listing, i, fields[place.type]) for one, i in zip(documents, ids, strict=True)]
            if is_alone and isinstance(listing, Collection):
                documents = [one | {"links": one["links"] | links_of(self.world, listing, ids[0])} for one in documents]
            rows = [orjson.dumps(one) for one in documents]
        for position, identifier in enumerate(ids):
            if identifier in spoilt.poisons:
                rows[position] = poisoned(listing.document(identifier), spoilt.poisons[identifier])
        return rows, included

    def _count(self, place: ListPlace, query: ListQuery) -> int:
        """How many records the list says that it has."""
        count, cap = len(self._select(place, query)), self.settings.cap
        return count if cap is None else min(count, cap)

    def cap(self, most: int | None, *, counts_only: bool) -> None:
        """Let no list count more records than that, nor show them unless it is about the counts only."""
        self.settings = replace(self.settings, cap=most, cap_counts_only=counts_only)
        self._pages.clear()

    def _select(self, place: ListPlace, query: ListQuery) -> Sequence[int]:
        """The ids of the list in the order asked for; remembered until the listing changes."""
        listing = place.listing
        ids = listing.ids if place.ids is None else place.ids
        if query.shows_deleted and isinstance(listing, Collection):
            ids = listing.deleted_ids
        is_plain = not query.shows_deleted and not query.where and not query.order and listing.name != "groups.Group"
        if is_plain:
            return ids
        if place.ids is not None:
            return select_ids(listing, query, ids, place.facts.dates)
        key = (listing.name, listing.version, query.selection)
        if key not in self._selections:
            _keep(self._selections, key, select_ids(listing, query, ids, place.facts.dates), _SELECTIONS_KEPT)
        return self._selections[key]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Spoilt:
    """What is wrong with an answer that is a good one otherwise; false if nothing is."""

    poisons: Mapping[int, str]
    lapses: Lapses

    def __bool__(self) -> bool:
        return bool(self.poisons or self.lapses.rules)

    def facts(self, facts: ListFacts) -> ListFacts:
        """What the list can be asked, as the answer says it."""
        return replace(facts, can_include=self.lapses.known(facts.can_include)) if self else facts


def _product(request: Request) -> str:
    return request.path.split("/")[1] if "/" in request.path else ""


def _keep(cache: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > most:
        cache.popitem(last=False)
