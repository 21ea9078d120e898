"""One look at a church's Planning Center: every list at top level, what comes with owners, and some lists below."""

import random
import statistics
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from pco_catalog.catalog import Catalog, Entity
from pco_catalog.due_lists import cheapest_chain, load_due_rules
from pco_client.documents import Page
from pco_client.errors import NotFound, PcoError
from pco_walks.hidden import looks_capped
from pco_walks.window import SKEW
from tasks.background import in_parallel
from tasks.doctor.asking import Asker
from tasks.doctor.filters import judge_filters
from tasks.doctor.findings import (
    BY_ID,
    CLOCK,
    COUNT,
    END,
    EVERYWHERE,
    PAGE_SIZE,
    RATE,
    READABLE,
    UNKNOWN_ID,
    VERSION,
    Examination,
    Finding,
    Verdict,
    date_named,
    refusal,
    verdict_of,
)
from tasks.doctor.first_page import judge_attributes, judge_count, judge_id_order, judge_offers, resources_of
from tasks.doctor.owners import OwnersExam
from tasks.lists.readable_products import unreadable_products

NO_RECORD = "2147483646"
"""An id that no record has: PCO's have nine digits, and it may take no greater number for one."""
DEFAULT_PAGE = 25
"""Records that a list shows if nobody says how many."""
PARENTS_TRIED = 3
"""Parents whose lists are looked at until one has records."""


async def examine(
    asker: Asker,
    catalog: Catalog,
    *,
    report: Callable[[str], None] = lambda _: None,
    chance: random.Random | None = None,
) -> Examination:
    """Look at everything, with GET requests only. `report` is called with how far it is.

    Raises `Unauthorized` if PCO accepts the credential for nothing, `Unreachable` and its like if there is no way to
    it, and `GovernorUnavailable`. What goes wrong later is a finding.
    """
    exam = _Exam(asker, catalog, chance or random.Random())  # noqa: S311 - chooses a sample only
    began = time.monotonic()
    report("which products may be read")
    await exam.look_at_products()
    report("the first page of every list")
    await exam.look_at_lists()
    report("filters, orders and single records")
    await exam.look_closer()
    report("what comes with owners, and lists below parents")
    await exam.look_below()
    exam.judge_headers()
    return Examination(
        findings=tuple(exam.findings), requests=asker.client.requests, seconds=round(time.monotonic() - began, 1)
    )


class _Exam:
    def __init__(self, asker: Asker, catalog: Catalog, chance: random.Random) -> None:
        self.findings: list[Finding] = []
        self._asker = asker
        self._catalog = catalog
        self._chance = chance
        self._lists = catalog.entities(top_level_only=True)
        self._refused: dict[str, str] = {}
        self._pages: dict[str, Page] = {}
        """The first page of each list that was shown, by its path."""

    async def look_at_products(self) -> None:
        products = {one.product for one in self._lists}
        self._refused, failed = await unreadable_products(self._asker.client, self._catalog, products)
        for product in sorted(products):
            if product in self._refused:
                self._add(product, READABLE, "fails", _status(self._refused[product]))
            elif product in failed:
                self._add(product, READABLE, "unseen", refusal(failed[product]))
            else:
                self._add(product, READABLE, "holds", "")

    async def look_at_lists(self) -> None:
        await in_parallel(self._look_at_list(one) for one in self._lists)

    async def _look_at_list(self, entity: Entity) -> None:
        if entity.product in self._refused:
            self._add(entity.name, READABLE, "unseen", "its product is not shown")
            return
        page = await self._first_page(entity, entity.list_path or "")
        if page is None:
            return
        resources = resources_of(page, entity)
        self.findings += [
            judge_id_order(entity, resources),
            judge_attributes(entity, resources),
            judge_offers(self._catalog, entity, page),
        ]

    async def _first_page(self, entity: Entity, path: str) -> Page | None:
        try:
            page = await self._asker.page(entity, path)
        except PcoError as error:
            self._add(entity.name, READABLE, verdict_of(error), refusal(error))
            return None
        self._add(entity.name, READABLE, "holds", "")
        self._pages[path] = page
        return page

    async def look_closer(self) -> None:
        shown = [one for one in self._lists if one.list_path in self._pages]
        samples = self._samples(shown)
        await in_parallel(
            [
                *(self._take(judge_filters(self._asker, one, self._pages[one.list_path or ""])) for one in shown),
                *(self._look_at_end(one, is_sample=one in samples.values()) for one in shown),
                *(self._look_at_single(one) for one in samples.values()),
            ]
        )
        self._judge_page_sizes(shown)

    def _samples(self, shown: Sequence[Entity]) -> dict[str, Entity]:
        """Of each product the list with most records, in which a limit would show first."""
        samples: dict[str, Entity] = {}
        for entity in sorted(shown, key=lambda one: -(self._pages[one.list_path or ""].total_count or 0)):
            if self._pages[entity.list_path or ""].records:
                samples.setdefault(entity.product, entity)
        return samples

    async def _look_at_end(self, entity: Entity, *, is_sample: bool) -> None:
        """The count, and where it is of use, what is behind the place where it says that the list ends."""
        page = self._pages[entity.list_path or ""]
        judged, total = judge_count(entity, page), page.total_count
        if judged.verdict == "fails" or not total or not (is_sample or looks_capped(total)):
            self.findings.append(judged)
            return
        try:
            answer = await self._asker.page(entity, entity.list_path or "", per_page=1, offset=total)
        except PcoError as error:
            self.findings.append(judged)
            self._add(entity.name, END, verdict_of(error), refusal(error))
            return
        if answer.records and (answer.total_count is None or answer.total_count <= total):
            self._add(entity.name, COUNT, "fails", f"it says {total}, and the list goes on")
            return
        self.findings.append(judged)
        has_next = not answer.records and answer.next_offset is not None
        self._add(entity.name, END, "fails" if has_next else "holds", "there is a next page" if has_next else "")

    async def _look_at_single(self, entity: Entity) -> None:
        resources = resources_of(self._pages[entity.list_path or ""], entity)
        if not resources:
            return
        shown = await self._single(entity, resources[0].id)
        if isinstance(shown, str):
            self._add(entity.name, BY_ID, "holds" if shown == resources[0].id else "fails", "")
        elif isinstance(shown, NotFound):
            # It may just have been deleted; a second one was not, too.
            other = await self._single(entity, resources[-1].id)
            self._add(entity.name, BY_ID, "holds" if other == resources[-1].id else "fails", refusal(shown))
        else:
            self._add(entity.name, BY_ID, verdict_of(shown), refusal(shown))
        answered = await self._single(entity, NO_RECORD)
        if isinstance(answered, NotFound):
            self._add(entity.name, UNKNOWN_ID, "holds", "")
        elif isinstance(answered, PcoError):
            self._add(entity.name, UNKNOWN_ID, verdict_of(answered), refusal(answered))
        else:
            self._add(entity.name, UNKNOWN_ID, "fails", "it shows a record")

    async def _single(self, entity: Entity, identity: str) -> str | PcoError:
        try:
            document = await self._asker.document(entity, f"{entity.list_path}/{identity}")
        except PcoError as error:
            return error
        return str(document["data"].get("id"))

    def _judge_page_sizes(self, shown: Sequence[Entity]) -> None:
        """By product: a page that is full, or one that is short though the list goes on."""
        for product in sorted({one.product for one in shown}):
            pages = [self._pages[one.list_path or ""] for one in shown if one.product == product]
            cut = [len(one.records) for one in pages if one.next_offset is not None and one.next_offset < 100]
            most = max((len(one.records) for one in pages), default=0)
            if cut:
                self._add(product, PAGE_SIZE, "fails", f"{min(cut)} records, and a next page")
            elif most > DEFAULT_PAGE:
                self._add(product, PAGE_SIZE, "holds", f"{most} records")
            else:
                self._add(product, PAGE_SIZE, "unseen", f"no list of more than {DEFAULT_PAGE} records")

    async def look_below(self) -> None:
        owners = [self._catalog.by_name[one] for one in self._catalog.sideloads]
        await in_parallel(self._look_at_owners(one) for one in owners if one.list_path in self._pages)
        rules = load_due_rules()
        below = [
            one
            for one in self._catalog.entities()
            if one.list_path is None
            and one.list_paths
            and one.product not in self._refused
            and (one in owners or rules.is_first(one))
        ]
        for entity in below:
            await self._look_at_child(entity)

    async def _look_at_owners(self, entity: Entity) -> None:
        exam = OwnersExam(self._asker, self._catalog, entity, entity.list_path or "", "", chance=self._chance)
        self.findings += await exam.judge()

    async def _look_at_child(self, entity: Entity) -> None:
        found = await self._first_below(entity)
        if found is None:
            return
        path, scope, page = found
        self.findings.append(judge_id_order(entity, resources_of(page, entity)))
        if entity.name in self._catalog.sideloads and page.records:
            exam = OwnersExam(self._asker, self._catalog, entity, path, scope, chance=self._chance)
            self.findings += await exam.judge()

    async def _first_below(self, entity: Entity) -> tuple[str, str, Page] | None:
        """The first list of this kind that has records, below one of the first parents; else one without."""
        scopes, chain = [""], cheapest_chain(self._catalog, entity, {})
        page = self._pages.get(chain.root.list_path or "")
        best: tuple[str, str, Page] | None = None
        for level in chain.levels:
            parents = resources_of(page, level.parent)[:PARENTS_TRIED] if page is not None else []
            best = None
            trouble: PcoError | None = None
            for parent in parents:
                scope = level.scope_below(scopes[-1], parent.id)
                path = level.path_of(scope)
                shown = self._pages.get(path)
                if shown is None:
                    try:
                        shown = self._pages[path] = await self._asker.page(level.entity, path)
                    except NotFound as error:
                        trouble = error  # this parent may just have been deleted
                        continue
                    except PcoError as error:
                        best, trouble = None, error
                        break
                best = (path, scope, shown)
                if shown.records:
                    break
            if best is None:
                if trouble is None:
                    self._add(entity.name, READABLE, "unseen", f"no {level.parent.name} to look below")
                elif level.entity is entity:
                    self._add(entity.name, READABLE, verdict_of(trouble), refusal(trouble))
                else:
                    self._add(entity.name, READABLE, "unseen", f"{level.entity.name} is not shown")
                return None
            scopes.append(best[1])
            page = best[2]
        self._add(entity.name, READABLE, "holds", "")
        return best

    def judge_headers(self) -> None:
        heard = self._asker.heard
        dated = [one.ahead.total_seconds() for one in heard if one.ahead is not None]
        if len(dated) < len(heard):
            self._add(EVERYWHERE, CLOCK, "fails", f"{len(heard) - len(dated)} of {len(heard)} answers have no date")
        elif not dated:
            self._add(EVERYWHERE, CLOCK, "unseen", "no answers")
        else:
            # A lasting difference: that of a single answer may be its way.
            seconds = statistics.median(dated)
            is_far = abs(seconds) > SKEW / timedelta(seconds=1)
            told = f"PCO's clock is {abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}"
            self._add(EVERYWHERE, CLOCK, "fails" if is_far else "holds", told if seconds else "")
        rates = [one.rate for one in heard]
        silent = [one for one in rates if None in (one.limit, one.period_seconds, one.count)]
        limits = sorted({f"{one.limit} in {one.period_seconds} s" for one in rates if one not in silent})
        told = f"{len(silent)} of {len(heard)} answers do not" if silent else f"the limit is {' and '.join(limits)}"
        verdict: Verdict = "fails" if silent else "holds" if heard else "unseen"
        self._add(EVERYWHERE, RATE, verdict, told if heard else "no answers")
        by_product = defaultdict(list)
        for one in heard:
            by_product[one.product].append(one)
        for product, answers in sorted(by_product.items()):
            versions = {one.version for one in answers}
            other = {one for one in versions if one != answers[0].asked_version}
            if None in other:
                self._add(product, VERSION, "unseen", "no answer says it")
                continue
            told = f"pinned {answers[0].asked_version}, answered {', '.join(sorted(map(date_named, other)))}"
            self._add(product, VERSION, "fails" if other else "holds", told if other else answers[0].asked_version)

    async def _take(self, findings: Awaitable[list[Finding]]) -> None:
        self.findings += await findings

    def _add(self, subject: str, assumption: str, verdict: Verdict, seen: str) -> None:
        self.findings.append(Finding(subject, assumption, verdict, seen))


def _status(words: str) -> str:
    """Of what PCO said about a product only the status: the rest may hold anything."""
    _, _, told = words.rpartition("status ")
    status = told.partition(",")[0].partition(")")[0]
    return f"status {status}" if status.isdecimal() else "refused"
