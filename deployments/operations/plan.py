"""`plan`: how each resource would be read, and what that costs, before it is read."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from deployments.ended import print_document
from deployments.exit_codes import DONE
from deployments.parameters import WrongArgumentError
from deployments.terminal import print_words
from deployments.waiting import waiting
from flows.parameters import NIGHTLY_REQUESTS
from pco_catalog.catalog import load_catalog
from pco_catalog.patterns import PatternMatchesNothingError, select_entities
from pco_store.clock import database_time
from pco_store.ledger.members import read_traits
from pco_store.ledger.watermarks import read_watermarks
from pco_walks.ways import OrganizationMode, Way, excluded_in_vain, ways_of
from tasks.due.night import count_parents
from tasks.lifespan import get_client_for_org, opened_resources
from tasks.lists.readable_products import PRODUCTS, read_lately, unreadable_products
from tasks.patience import patiently
from tasks.reports.counted import counted
from tasks.request_plan import DAY_MINUTES, DELTAS_A_DAY, Planned, RequestPlan
from tasks.settings import read_settings

PER_SECOND = 5.0
"""Requests that PCO allows a credential: 100 in 20 s."""
LOOK_SECONDS: Final = 0.5
MAY_BE_READ: Final = "whether it may be read"


@dataclass(frozen=True, kw_only=True, slots=True)
class Night:
    """What is due in a steady night, in requests; `at_top` are those of lists at top level, which no budget leaves."""

    due: int
    at_top: int

    def sent(self, budget: int) -> int:
        """The requests of a night with this budget."""
        return max(self.at_top, min(self.due, budget))


@dataclass(frozen=True, kw_only=True, slots=True)
class ChurchPlan:
    """What each entity costs, and the requests that the plan itself has taken.

    `night` is there if the plan is that of a night or of a full sync, `lists_of_a_delta` if it is that of a full sync.
    `in_vain` is what is excluded and read all the same, each with the reason.
    """

    planned: list[Planned]
    own_requests: int
    in_vain: list[str]
    night: Night | None = None
    lists_of_a_delta: int | None = None

    @property
    def requests(self) -> int:
        """The cost of all."""
        return sum(one.requests for one in self.planned)

    @property
    def day(self) -> int | None:
        """The requests of deltas that find nothing, and of a night with the usual budget."""
        if self.night is None or self.lists_of_a_delta is None:
            return None
        return DELTAS_A_DAY * self.lists_of_a_delta + self.night.sent(NIGHTLY_REQUESTS)


async def show_plan(
    org_id: str,
    mode: OrganizationMode,
    include: Sequence[str],
    exclude: Sequence[str],
    console: Console,
    *,
    as_json: bool,
) -> int:
    """Ask PCO for counts, and print what a sync of the church would cost. Raises `WrongArgumentError`."""
    with waiting(console, "counting: which products may be read") as shown:
        plan = await make_plan(org_id, mode, include, exclude, report=shown.update)
    if as_json:
        print_document(_document(plan, org_id, mode))
        return DONE
    title = "a full sync, a night and a quiet day" if mode == "full" else f"{mode} sync"
    console.print(plan_table(plan.planned, f"{title} of {org_id}, in requests"))
    console.print()
    console.print(_sums(plan, mode))
    console.print()
    print_words(console, *_notes(plan))
    return DONE


def plan_table(planned: Sequence[Planned], title: str) -> Table:
    """The costs, dearest first; every number can be read on 80 columns, where long names take several lines."""
    has_days = any(one.night is not None for one in planned)
    table = _table(title)
    table.add_column("entity", overflow="fold", min_width=22)
    for name in ("records", *(("full", "night", "day") if has_days else ("requests",)), "age"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    for one in sorted(_with_products_together(planned), key=lambda one: (-one.requests, -one.left)):
        records = "" if one.records is None else f"{one.records:,}"
        about = "" if one.is_exact else "~"
        days = [f"~{number:,}" if number else "" for number in (one.night, one.day)] if has_days else []
        table.add_row(_named(one), records, f"{about}{one.requests:,}", *days, _age(one.age_minutes))
    return table


def _table(title: str | None) -> Table:
    return Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True
    )


def _with_products_together(planned: Sequence[Planned]) -> list[Planned]:
    """One line for all products of which nothing is to be said."""
    asked = [one for one in planned if one.way == MAY_BE_READ and not one.unreadable]
    if len(asked) < 2:
        return list(planned)
    nights = sum(one.night or 0 for one in asked)
    together = replace(
        asked[0],
        entity=counted(len(asked), "product"),
        requests=len(asked),
        night=None if asked[0].night is None else nights,
        day=None if asked[0].day is None else nights,
    )
    return [*(one for one in planned if one not in asked), together]


def _named(one: Planned) -> RenderableType:
    told = []
    if one.unreadable:
        told.append(f"unreadable: {one.unreadable}")
    elif one.lists and one.way.startswith("below"):
        told.append(f"{counted(one.lists, 'list')} {one.way}")
    elif one.way not in ("full", "delta"):
        told.append(one.way)
    if one.left:
        told.append(f"{counted(one.left, 'list')} left to the nights")
    return Group(Text(one.entity), *(Padding(Text(line, "dim"), (0, 0, 0, 2)) for line in told))


def _age(minutes: int | None) -> str:
    if minutes is None:
        return ""
    return f"{minutes} min" if minutes < DAY_MINUTES else counted(minutes // DAY_MINUTES, "day")


def _sums(plan: ChurchPlan, mode: OrganizationMode) -> Table:
    """What all of it takes: what was asked for, and for a full sync also a night and a day."""
    table = _table(None)
    table.add_column("in sum", no_wrap=True)
    table.add_column("requests", justify="right", no_wrap=True)
    table.add_column("takes", justify="right", no_wrap=True)
    table.add_column("")

    def add(what: str, requests: int, told: str) -> None:
        table.add_row(what, f"~{requests:,}", _duration(requests / PER_SECOND), Text(told))

    if mode == "full" or plan.night is None:
        told = ""
        if left := sum(one.left for one in plan.planned):
            told = f"leaves {counted(left, 'list')} to the nights"
        elif mode == "delta" and (new := sum(one.way == "full" for one in plan.planned)):
            told = f"reads {counted(new, 'list')} in full, for the first time"
        add(f"the {mode} sync", plan.requests, told)
    if plan.night is not None:
        is_over = plan.night.due > NIGHTLY_REQUESTS
        told = f"{plan.night.due:,} due: lists get older" if is_over else "reads all that is due"
        add("a night", plan.night.sent(NIGHTLY_REQUESTS), f"budget {NIGHTLY_REQUESTS:,}; {told}")
    if plan.day is not None:
        add("a quiet day", plan.day, f"{DELTAS_A_DAY} deltas of {counted(plan.lists_of_a_delta or 0, 'list')}, a night")
    return table


def _notes(plan: ChurchPlan) -> list[str]:
    notes = [f"excluded, and read all the same: {vain}" for vain in plan.in_vain]
    if uncounted := [one.entity for one in plan.planned if one.has_more_in_a_night]:
        names = ", ".join(uncounted)
        notes.append(
            f"not counted, for PCO does not tell how many: lists of {names} that a night reads because of a date"
        )
    return [
        *notes,
        "age: the oldest that a copy gets while the schedules of make deploy keep up",
        f"takes: at PCO's limit of 100 requests in 20 s; this plan itself took {plan.own_requests:,}",
    ]


def _document(plan: ChurchPlan, org_id: str, mode: OrganizationMode) -> dict[str, Any]:
    document = {
        "org_id": org_id,
        "mode": mode,
        "requests": plan.requests,
        "plan_requests": plan.own_requests,
        "ways": [asdict(one) for one in plan.planned],
    }
    if plan.night is not None:
        sent = plan.night.sent(NIGHTLY_REQUESTS)
        document["night"] = {"due": plan.night.due, "budget": NIGHTLY_REQUESTS, "requests": sent}
    if plan.day is not None:
        document["day"] = {"deltas": DELTAS_A_DAY, "lists": plan.lists_of_a_delta, "requests": plan.day}
    return document


async def make_plan(
    org_id: str,
    mode: OrganizationMode,
    include: Sequence[str],
    exclude: Sequence[str],
    *,
    report: Callable[[str], None] = lambda _: None,
) -> ChurchPlan:
    """Ask PCO for the counts of a church. `report` is called with how far it is. Raises `WrongArgumentError`."""
    settings, catalog = read_settings(), load_catalog()
    try:
        entities = select_entities(catalog, include, exclude)
    except PatternMatchesNothingError as error:
        raise WrongArgumentError(str(error)) from None
    async with opened_resources(settings) as resources:
        client = await get_client_for_org(org_id, resources)
        watermarks = await patiently(resources, lambda connection: read_watermarks(connection, org_id))
        now = await patiently(resources, database_time)
        counts = await patiently(resources, partial(count_parents, catalog=catalog, org_id=org_id))
        traits = await patiently(resources, partial(read_traits, org_id=org_id))
        choose = partial(
            ways_of,
            catalog,
            entities,
            known=watermarks.keys(),
            distrusted=traits.distrusted,
            counts=counts,
            include=include,
        )
        top, below = choose(mode=mode)
        nightly_top, nightly_below = choose(mode="rest")
        ways, nightly = [*top, *below], [*nightly_top, *nightly_below]
        read = {way.entity.name for way in ways}
        left = [way for way in nightly_below if way.entity.name not in read] if mode == "full" else []
        products = {way.entity.product for way in ways}
        if mode in ("delta", "rest"):
            products -= read_lately(watermarks, now=now)
        refused, _ = await unreadable_products(resources.patient_client(client, lane=PRODUCTS), catalog, products)

        def readable(ways: Sequence[Way]) -> list[Way]:
            return [way for way in ways if way.entity.product not in refused]

        plan = RequestPlan(
            client=resources.patient_client(client, lane="plan"),
            settings=settings,
            watermarks=watermarks,
            distrusted=traits.distrusted,
            is_nightly=mode == "rest",
            now=now,
        )
        async with _reported(plan, len(readable(ways)), report):
            planned = await plan.plan(readable(ways), readable(left))
        planned += [_probe(product, refused.get(product, "")) for product in sorted(products)]
        of_a_night = planned
        deltas = readable(choose(mode="delta")[0])
        if mode == "full":
            night_plan = plan.of_a_night()
            async with _reported(night_plan, len(readable(nightly)), report):
                of_a_night = await night_plan.plan(readable(nightly))
            products_at_night = {way.entity.product for way in nightly} - {way.entity.product for way in deltas}
            of_a_night += [_probe(product) for product in sorted(products_at_night)]
    made = ChurchPlan(
        planned=planned,
        own_requests=plan.requests + len(products),
        in_vain=excluded_in_vain(catalog, entities, exclude, traits.distrusted),
    )
    if mode not in ("full", "rest"):
        return made
    below_parents = {way.entity.name for way in nightly_below}
    due = sum(one.requests for one in of_a_night)
    at_top = sum(one.requests for one in of_a_night if one.entity not in below_parents)
    made = replace(made, night=Night(due=due, at_top=at_top))
    if mode == "rest":
        return made
    by_entity = {one.entity: one for one in of_a_night}
    in_deltas = {way.entity.name for way in deltas}
    return replace(
        made,
        planned=[one.with_days(by_entity.get(one.entity), has_delta=one.entity in in_deltas) for one in planned],
        lists_of_a_delta=len(deltas),
    )


def _probe(product: str, unreadable: str = "") -> Planned:
    """The request by which a sync finds out whether it may read a product."""
    return Planned(
        entity=product, way=MAY_BE_READ, lists=0, records=None, requests=1, is_exact=True, unreadable=unreadable
    )


@asynccontextmanager
async def _reported(plan: RequestPlan, ways: int, report: Callable[[str], None]) -> AsyncIterator[None]:
    async def go_on() -> None:
        while True:
            report(f"counting: {plan.done} of {counted(ways, 'resource')}, {counted(plan.requests, 'request')}")
            await asyncio.sleep(LOOK_SECONDS)

    reporter = asyncio.create_task(go_on())
    try:
        yield
    finally:
        reporter.cancel()
        with suppress(asyncio.CancelledError):
            await reporter


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
