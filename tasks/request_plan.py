"""What reading a church will cost in requests: announced before it is read, from a few cheap counts."""

import asyncio
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from pco_catalog.ancestors import columns_of
from pco_catalog.catalog import Entity, load_catalog
from pco_catalog.chains import Chain, Level
from pco_catalog.changes import can_be_ranged, has_delta
from pco_catalog.due_lists import DueRule, load_due_rules
from pco_client.errors import SkipError
from pco_client.sansio import PageRequest, Where
from pco_walks.ways import Way
from pco_walks.window import WHOLE, Window, choose_window
from tasks.patient_client import PatientClient
from tasks.settings import SyncSettings
from tasks.verification.includes import OF_EACH

SAMPLES: Final = 5
"""Parents that are looked at to learn how many children one has."""
DELTA_MINUTES: Final = 15
"""From one delta to the next, by the schedules of `prefect.yaml`."""
DAY_MINUTES: Final = 24 * 60
DELTAS_A_DAY: Final = DAY_MINUTES // DELTA_MINUTES


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """What one entity will cost. `records` is None where PCO does not say; `is_exact` is false for an estimate.

    `left` are the lists below parents that a full sync leaves to the nights. `age_minutes`: so old can the copy of a
    record be, where the schedules keep it current and no list has to wait. `night` and `day` are the requests of a
    steady night and of a day without changes, if the plan is that of a full sync. `has_more_in_a_night`: PCO does not
    say how many lists a night reads because of a date of their parents.
    """

    entity: str
    way: str
    lists: int
    records: int | None
    requests: int
    is_exact: bool
    unreadable: str = ""
    left: int = 0
    age_minutes: int | None = None
    night: int | None = None
    day: int | None = None
    has_more_in_a_night: bool = False

    def with_days(self, night: "Planned | None", *, has_delta: bool) -> "Planned":
        """The same, with what a night takes of it, and a day of that night and of deltas that find nothing."""
        requests = 0 if night is None else night.requests
        return replace(
            self,
            night=requests,
            day=requests + DELTAS_A_DAY * has_delta,
            has_more_in_a_night=night is not None and night.has_more_in_a_night,
        )


def age_minutes(entity: Entity) -> int:
    """How old what is mirrored of an entity can be: until the next delta, night, or reading of its list in its turn."""
    if entity.list_path is None:
        return load_due_rules().of(entity).every_days * DAY_MINUTES
    return DELTA_MINUTES if has_delta(entity) else DAY_MINUTES


def pages_of(records: int, *, window: Window, page_size: int, part_records: int) -> int:
    """Requests of a walk over so many records, if nothing changes meanwhile.

    About as many for a list that is divided: that depends on how its records lie in time.
    """
    pages = max(1, -(-records // page_size))
    if not window.is_bounded and not window.is_newest_first:
        return pages + 1 if pages > 1 else 1  # the first page is read twice
    if records <= part_records:
        return pages
    parts = 2
    while records > parts * part_records:
        parts *= 2
    # The page that told it, the count of the window, a part's last page that is not full, the counts of the parts.
    # A delta is opened with its window: that page counts it.
    return 1 + window.is_all_until + pages + parts // 2 + parts - 1


@dataclass(kw_only=True)
class RequestPlan:
    """Asks PCO for counts, each once; `done` is how many ways.

    `is_nightly`: of the lists below parents, what one night's part comes to. `now` is what a sync
    would take for the time, `distrusted` what PCO was seen not to keep to.
    """

    client: PatientClient
    settings: SyncSettings
    watermarks: dict[str, datetime]
    distrusted: Set[tuple[str, str]] = frozenset()
    is_nightly: bool = False
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def requests(self) -> int:
        """What the planning itself has cost."""
        return self.client.requests

    done: int = 0
    _answers: dict[tuple[str, int, tuple[Where, ...]], Any] = field(default_factory=dict)
    _planned: dict[str, Planned] = field(default_factory=dict)

    def of_a_night(self) -> Self:
        """The plan of a night at the same time; what was asked is not asked again."""
        return replace(self, is_nightly=True, done=0, _planned={})

    async def plan(self, ways: Sequence[Way], left: Sequence[Way] = ()) -> list[Planned]:
        """What each of the ways will cost, parents before what is below them, and that those `left` cost nothing.

        Raises the errors of the client that are not about one list.
        """
        for depth in sorted({way.depth for way in ways}):
            planned = await self._plan([way for way in ways if way.depth == depth], {way.entity.name for way in ways})
            self._planned |= {one.entity: one for one in planned}
        return [*self._planned.values(), *(self._left(way) for way in left)]

    async def _plan(self, ways: Sequence[Way], read: Set[str]) -> list[Planned]:
        room = asyncio.Semaphore(self.settings.pages_in_flight)

        async def one(way: Way) -> Planned:
            async with room:
                try:
                    if way.chain is None:
                        return await self._list(way)
                    is_mirrored = self.is_nightly or not way.is_whole or way.chain.names[-1] in read
                    return await self._below(way, way.chain, is_mirrored=is_mirrored)
                except SkipError as error:
                    told = str(error)
                    return Planned(
                        entity=way.entity.name,
                        way=_named(way),
                        lists=0,
                        records=None,
                        requests=1,
                        is_exact=True,
                        unreadable=told,
                        age_minutes=age_minutes(way.entity),
                    )
                finally:
                    self.done += 1

        return await asyncio.gather(*(one(way) for way in ways))

    def _left(self, way: Way) -> Planned:
        assert way.chain is not None, "what is left to the nights has lists below parents"
        parents = self._planned.get(way.chain.names[-1])
        left = (parents.records if parents else None) or 0
        return Planned(
            entity=way.entity.name,
            way=_named(way),
            lists=0,
            records=None,
            requests=0,
            is_exact=True,
            left=left,
            age_minutes=age_minutes(way.entity),
        )

    async def _list(self, way: Way) -> Planned:
        entity = way.entity
        assert entity.list_path is not None, "a way without a chain leads to a list at top level"
        watermark = self.watermarks.get(entity.name)
        window = choose_window(entity, mode=way.mode, until=self.now, watermark=watermark, distrusted=self.distrusted)
        counted = None if window.is_newest_first else await self._count(entity, entity.list_path, window)
        return Planned(
            entity=entity.name,
            way=_named(way),
            lists=1,
            records=counted,
            requests=self._pages(counted or 0, window) + (_compared(entity, counted) if way.mode == "full" else 0),
            is_exact=counted is not None and not (window.is_bounded and counted > self.settings.part_records),
            age_minutes=age_minutes(entity),
        )

    async def _below(self, way: Way, chain: Chain, *, is_mirrored: bool) -> Planned:
        """The pages of the root's list, and a list for each parent on every level, by the sampled parents' children.

        If the last parents are in the mirror by then, only the lists below those.
        """
        root_path = chain.root.list_path
        assert root_path is not None, "a chain begins at top level"
        records: int | None = await self._count(chain.root, root_path, WHOLE) or 0
        window = choose_window(chain.root, mode="full", until=self.now, watermark=None)
        requests = self._pages(records or 0, window)
        parents = [("", one) for one in await self._sampled(chain.root, root_path, records or 0)]
        lists = left = 0
        for level in chain.levels:
            lists, scopes = records or 0, [level.scope_below(*parent) for parent in parents]
            children = [await self._children(level, scope) for scope in scopes]
            window = choose_window(level.entity, mode="full", until=self.now, watermark=None)
            costs = [self._pages(count, window) for count, _ in children] or [1]
            counted = await self._count_all(level)
            records = counted if counted is not None else _estimated(lists, [count for count, _ in children])
            if level is chain.levels[-1] and is_mirrored:
                lists, left = await self._lists_read(way, level, lists)
                requests = 0
            elif level.entity.name in self._planned:
                records = self._planned[level.entity.name].records
            requests += round(lists * sum(costs) / len(costs))
            parents = [(scope, first) for scope, (_, first) in zip(scopes, children, strict=True) if first is not None]
        return Planned(
            entity=way.entity.name,
            way=_named(way),
            lists=lists,
            records=records,
            requests=requests,
            is_exact=False,
            left=left,
            age_minutes=age_minutes(way.entity),
            has_more_in_a_night=self.is_nightly and _has_uncounted_days(chain.levels[-1]),
        )

    async def _lists_read(self, way: Way, level: Level, parents: int) -> tuple[int, int]:
        """Of the lists below so many parents in the mirror, those that are read, and those left to the nights."""
        rule, now = load_due_rules().of(level.entity), self.now
        if rule.only_after is not None:
            begun = await self._count_at(level.parent, rule.only_after, since=None, until=now)
            parents = parents if begun is None else begun
        if self.is_nightly:
            return -(-parents // rule.every_days) + await self._hot(level, rule, now), 0
        if way.is_whole:
            return parents, 0
        wanted: int | None = parents
        if rule.named_by:
            named = load_catalog().entity(rule.named_by[0][0])
            wanted = await self._count(named, named.list_path, WHOLE) if named.list_path else None
        elif rule.hot is not None and rule.hot.full is not None:
            first, last = (timedelta(days=day) for day in rule.hot.full)
            wanted = await self._count_at(level.parent, rule.hot.at, since=now - last, until=now - first)
        lists = parents if wanted is None else min(wanted, parents)
        return lists, parents - lists

    async def _hot(self, level: Level, rule: DueRule, now: datetime) -> int:
        """How many lists are read in a night because of a hot window; 0 where PCO does not say how many are in it."""
        if rule.hot is None:
            return 0
        first, last = rule.hot.days[0], rule.hot.days[-1]
        since, until = now - timedelta(days=last), now - timedelta(days=first)
        within = await self._count_at(level.parent, rule.hot.at, since=since, until=until)
        return round((within or 0) * len(rule.hot.days) / (last - first))

    async def _count_at(self, parent: Entity, at: str, *, since: datetime | None, until: datetime) -> int | None:
        """The records with their time `at` between these; None if PCO cannot be asked for them."""
        if parent.list_path is None or not _is_counted(parent, at):
            return None
        return await self._count(parent, parent.list_path, Window(attribute=at, since=since, until=until))

    async def _children(self, level: Level, scope: str) -> tuple[int, str | None]:
        """How many children a parent has, and the id of the first one."""
        try:
            page = await self._ask(level.entity, level.path_of(scope), 0, ())
        except SkipError:
            return 0, None
        ids = [str(record["id"]) for record in page.records if isinstance(record, dict) and "id" in record]
        return page.total_count or len(page.records), next(iter(ids), None)

    async def _count_all(self, level: Level) -> int | None:
        """All records of a level, where PCO lists them at top level, too."""
        path = level.entity.list_path
        return None if path is None else await self._count(level.entity, path, WHOLE)

    async def _sampled(self, root: Entity, path: str, count: int) -> list[str]:
        places = sorted({count * number // SAMPLES for number in range(SAMPLES)}) if count else []
        pages = [await self._ask(root, path, place, ()) for place in places]
        return [str(record["id"]) for page in pages for record in page.records]

    async def _count(self, entity: Entity, path: str, window: Window) -> int | None:
        counted: int | None = (await self._ask(entity, path, 0, window.where())).total_count
        return counted

    async def _ask(self, entity: Entity, path: str, offset: int, where: tuple[Where, ...]) -> Any:
        key = (path, offset, where)
        if key not in self._answers:
            request = PageRequest(path=path, api_version=entity.api_version, offset=offset, per_page=1, where=where)
            self._answers[key] = (await self.client.fetch_page(request, expected_type=entity.resource)).page
        return self._answers[key]

    def _pages(self, records: int, window: Window) -> int:
        return pages_of(
            records, window=window, page_size=self.settings.page_size, part_records=self.settings.part_records
        )


def _has_uncounted_days(level: Level) -> bool:
    hot = load_due_rules().of(level.entity).hot
    return hot is not None and not _is_counted(level.parent, hot.at)


def _is_counted(parent: Entity, at: str) -> bool:
    return parent.list_path is not None and can_be_ranged(parent, at)


def _estimated(lists: int, children: Sequence[int]) -> int | None:
    """Records in so many lists, if these are the numbers of some; None if nothing is known of any."""
    return round(lists * sum(children) / len(children)) if children else None


def _compared(entity: Entity, records: int | None) -> int:
    """The own lists that a full reading compares with what came with the records, where these are the owners of it."""
    catalog = load_catalog()
    kinds = ((one.owner_column, catalog.entity(one.entity)) for one in catalog.brought_by(entity.name))
    owned = [kind for column, kind in kinds if column in columns_of(kind).ancestors]
    return len(owned) * min(records or 0, 2 * OF_EACH)


def _named(way: Way) -> str:
    return f"below {' > '.join(way.chain.names)}" if way.chain else way.mode
