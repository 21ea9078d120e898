"""`plan`: how each resource would be read, and what that costs, before it is read."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deployments.ended import print_document
from deployments.exit_codes import DONE
from deployments.parameters import WrongArgumentError
from deployments.waiting import waiting
from pco_catalog.catalog import load_catalog
from pco_catalog.due_lists import load_due_rules
from pco_catalog.patterns import PatternMatchesNothingError, select_entities
from pco_store.clock import database_time
from pco_store.ledger.members import read_traits
from pco_store.ledger.watermarks import read_watermarks
from pco_walks.ways import OrganizationMode, excluded_in_vain, ways_of
from tasks.due.night import count_parents
from tasks.lifespan import get_client_for_org, opened_resources
from tasks.lists.readable_products import PRODUCTS, read_lately, unreadable_products
from tasks.patience import patiently
from tasks.reports.counted import counted
from tasks.request_plan import Planned, RequestPlan
from tasks.settings import read_settings

PER_SECOND = 5.0
"""Requests that PCO allows a credential: 100 in 20 s."""
LOOK_SECONDS: Final = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class ChurchPlan:
    """What each entity costs, and the requests that the plan itself has taken.

    `in_vain` is what is excluded and read all the same, each with the reason.
    """

    planned: list[Planned]
    own_requests: int
    in_vain: list[str]

    @property
    def requests(self) -> int:
        """The cost of all."""
        return sum(one.requests for one in self.planned)


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
        ways = [asdict(one) for one in plan.planned]
        print_document(
            {
                "org_id": org_id,
                "mode": mode,
                "requests": plan.requests,
                "plan_requests": plan.own_requests,
                "ways": ways,
            }
        )
        return DONE
    console.print(plan_table(plan.planned, f"{mode} sync of {org_id}"))
    if left := sum(one.left for one in plan.planned):
        days = max(every_days(one) for one in plan.planned if one.left)
        console.print(
            f"not everything: {counted(left, 'list')} left to the nights, which read each of them within {days} days",
            highlight=False,
            soft_wrap=True,
        )
    for vain in plan.in_vain:
        console.print(f"excluded, and read all the same: {vain}", highlight=False, soft_wrap=True)
    console.print(
        f"about {counted(plan.requests, 'request')}: {_duration(plan.requests / PER_SECOND)} at PCO's limit of 100 in "
        f"20 s; this plan took {plan.own_requests:,}",
        highlight=False,
        soft_wrap=True,
    )
    return DONE


def every_days(planned: Planned) -> int:
    """How many days there may be between two readings of one of an entity's lists below parents."""
    return load_due_rules().of(load_catalog().entity(planned.entity)).every_days


def plan_table(planned: Sequence[Planned], title: str) -> Table:
    """The costs, dearest first; every number can be read on 80 columns, where long names take several lines."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("entity", overflow="fold", min_width=22)
    table.add_column("way", overflow="fold", min_width=10)
    for name in ("lists", "records", "requests"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    for one in sorted(planned, key=lambda one: (-one.requests, -one.left)):
        records = "?" if one.records is None else f"{one.records:,}"
        about = "" if one.is_exact else "~"
        way = f"unreadable: {one.unreadable}" if one.unreadable else one.way
        if one.left:
            way += f"; {one.left:,} left to the nights"
        table.add_row(one.entity, Text(way), f"{one.lists:,}", records, f"{about}{one.requests:,}")
    return table


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
        ways = [*top, *below]
        read = {way.entity.name for way in ways}
        left = [way for way in choose(mode="rest")[1] if way.entity.name not in read] if mode == "full" else []
        products = {way.entity.product for way in ways}
        if mode == "delta":
            products -= read_lately(watermarks, now=now)
        refused, _ = await unreadable_products(resources.patient_client(client, lane=PRODUCTS), catalog, products)
        counting = resources.patient_client(client, lane="plan")
        plan = RequestPlan(
            client=counting,
            settings=settings,
            watermarks=watermarks,
            distrusted=traits.distrusted,
            is_nightly=mode == "rest",
            now=now,
        )
        readable = [way for way in ways if way.entity.product not in refused]
        async with _reported(plan, len(readable), report):
            planned = await plan.plan(readable, [way for way in left if way.entity.product not in refused])
        probes = [
            Planned(
                entity=product,
                way="whether it may be read",
                lists=0,
                records=None,
                requests=1,
                is_exact=True,
                unreadable=refused.get(product, ""),
            )
            for product in sorted(products)
        ]
    return ChurchPlan(
        planned=[*planned, *probes],
        own_requests=plan.requests + len(products),
        in_vain=excluded_in_vain(catalog, entities, exclude, traits.distrusted),
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
