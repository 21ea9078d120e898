"""Whether includes are complete: what comes with a sample of owners is compared with their own lists."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence, Set

from pco_catalog.catalog import Catalog, Entity, Sideload
from pco_client.documents import Page
from pco_client.errors import PcoError, TooMuchIncluded
from tasks.doctor.asking import Asker
from tasks.doctor.findings import INCLUDE, Finding, Verdict, refusal
from tasks.pages.companions import MOST_UNTOLD
from tasks.pages.own_list import NOT_SHOWN
from tasks.rows.sideloaded import Sideloaded, divide_included, key_of

WITH_MOST = 1
"""A cut shows first where there is most."""
BY_CHANCE = 1
OWNERS_AT_A_TIME = 25
FEWER_AT_A_TIME = 5


class OwnersExam:
    """Of the owners in one list: each include that brings a kind of its own."""

    def __init__(
        self, asker: Asker, catalog: Catalog, entity: Entity, path: str, scope: str, *, chance: random.Random
    ) -> None:
        self._asker = asker
        self._entity = entity
        self._path = path
        self._scope = scope
        self._chance = chance
        self._per_page = OWNERS_AT_A_TIME
        self._pairs: list[tuple[Sideload, Entity]] = [
            (one, catalog.by_name[one.entity]) for one in catalog.sideloads.get(entity.name, ())
        ]

    async def judge(self) -> list[Finding]:
        """A finding for each include."""
        try:
            page = await self._smaller_page()
        except PcoError as error:
            return self._of_all("unseen", refusal(error))
        if not page.records:
            return self._of_all("unseen", "no records")
        found = []
        for kind in self._divided(page):
            reason = self._why_unkept(kind, page)
            found.append(self._finding(kind.sideload, "fails", reason) if reason else await self._compare(kind, page))
        return found

    async def _smaller_page(self) -> Page:
        try:
            return await self._page()
        except TooMuchIncluded:
            self._per_page = FEWER_AT_A_TIME
            return await self._page()

    async def _page(self) -> Page:
        include = tuple(one.include for one, _ in self._pairs)
        return await self._asker.page(self._entity, self._path, per_page=self._per_page, include=include)

    def _divided(self, page: Page) -> list[Sideloaded]:
        return divide_included(page.records, page.included, self._pairs, list_scope=self._scope)

    def _why_unkept(self, kind: Sideloaded, page: Page) -> str:
        """By the rules that a sync has for its pages; empty if none is broken."""
        if page.can_include is not None and kind.sideload.include.partition(".")[0] not in page.can_include:
            return "can_include does not name it"
        if len(kind.untold) > MOST_UNTOLD:
            return f"{len(kind.untold)} of {len(page.records)} records do not tell all of theirs"
        if len(kind.unnamed) > MOST_UNTOLD:
            return f"{len(kind.unnamed)} of {len(kind.records)} included records belong to nobody on the page"
        return ""

    async def _compare(self, kind: Sideloaded, page: Page) -> Finding:
        compared = records = 0
        trouble, shown = "", _shown(kind)
        for owner in self._sample(kind, page):
            try:
                own = await self._asker.own_list(kind.entity, kind.sideload.path, owner)
                ids = {key for one in own.records if (key := key_of(one)) is not None}
                lacking = ids - shown.get(owner, set())
                if lacking and owner not in kind.untold:
                    # What was created since is no fault: the include is asked for again.
                    later = self._divided(await self._page())
                    lacking -= _shown(next(one for one in later if one.sideload is kind.sideload)).get(owner, set())
                    if lacking:
                        seen = f"lacks {len(lacking)} of {len(ids)} records that the owner's own list shows"
                        return self._finding(kind.sideload, "fails", seen)
            except NOT_SHOWN as error:
                trouble = f"an owner's own list is not shown: {refusal(error)}"
                continue
            except PcoError as error:
                trouble = refusal(error)
                continue
            compared += bool(ids)
            records += len(ids)
        if compared:
            return self._finding(kind.sideload, "holds", f"{records} records of {compared} owners")
        return self._finding(kind.sideload, "unseen", trouble or "no owner of the sample has any")

    def _sample(self, kind: Sideloaded, page: Page) -> Sequence[str]:
        """Owners with most children, those of equal number by chance, and some by chance alone."""
        counts = Counter(owner for owner in kind.owners if owner is not None)
        owners = [kind.scope_of(key[1]) for one in page.records if (key := key_of(one)) is not None]
        self._chance.shuffle(owners)
        most = sorted(owners, key=lambda one: -counts[one])[:WITH_MOST]
        return [*most, *[one for one in owners if one not in most][:BY_CHANCE]]

    def _of_all(self, verdict: Verdict, seen: str) -> list[Finding]:
        return [self._finding(one, verdict, seen) for one, _ in self._pairs]

    def _finding(self, sideload: Sideload, verdict: Verdict, seen: str) -> Finding:
        return Finding(self._entity.name, f"{INCLUDE}{sideload.include}", verdict, seen)


def _shown(kind: Sideloaded) -> Mapping[str, Set[tuple[str, str]]]:
    shown: dict[str, set[tuple[str, str]]] = {}
    for record, owner in zip(kind.records, kind.owners, strict=True):
        if owner is not None and (key := key_of(record)) is not None:
            shown.setdefault(owner, set()).add(key)
    return shown
