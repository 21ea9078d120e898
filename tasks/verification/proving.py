"""Compares the mirror of one kind with Planning Center, by counts, by some of it or by all of it; keeps the proof.

What changes meanwhile is no difference: a record that was created or changed after the mirror was last complete is only
counted; and whatever differs is requested once more by its id, and compared with the row as it is by then.
"""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from pco_catalog.catalog import Entity
from pco_catalog.changes import can_be_ranged
from pco_client.client import PcoClient
from pco_client.errors import PcoError, Unauthorized, Unreachable, WaitError
from pco_client.rate_limit import DEEP_OFFSET
from pco_store.ledger.proving.proofs import MirrorCounts, MirroredRow, Stretch, put_proof
from pco_walks.window import ONE_SECOND, WHOLE, Window
from tasks.background import in_parallel
from tasks.lifespan import Resources
from tasks.patience import patiently
from tasks.reports.counted import there_are
from tasks.verification.comparison import Difference, Shown, are_in_order, compare, is_same
from tasks.verification.counting import Counted, Counting
from tasks.verification.listing import PAGE, ListedPage, Listing, UnclearError, listing_of
from tasks.verification.mirrored import Mirror, chain_read, read_mirror
from tasks.verification.owners import OwnersCompared
from tasks.verification.proof import Evidence, Method, Proof, evidence_of, facts_of
from tasks.verification.whole_list import WholeList

MOST_REQUESTED: Final = 100
"""Differences of a kind that are looked at once more; more than these are not taken for chance."""


async def prove(
    resources: Resources,
    client: PcoClient,
    org_id: str,
    entity: Entity,
    *,
    method: Method,
    sample_pages: int,
    seed: int,
    flow_run_id: str | None = None,
) -> Proof:
    """Compare, and keep the proof in `sync.proofs`.

    An answer of PCO that leaves a list unread is a verdict, Unknown. Raises `NotMirroredError`, and the errors that
    are not about this list: a refused credential, no network, no budget, no database.
    """
    began = time.monotonic()
    mirror = await read_mirror(resources, org_id, entity)
    listing = listing_of(resources, client, entity, org_id)
    if entity.list_path is None:
        below = OwnersCompared(client=client, chain=chain_read(mirror), mirror=mirror)
        evidence = await below.run(method, sample=sample_pages, seed=seed)
        requests = below.requests
    else:
        work = _Proving(listing=listing, mirror=mirror)
        evidence = await work.run(method, sample_pages=sample_pages, chance=random.Random(seed))  # noqa: S311
        requests = listing.requests
    facts = facts_of(evidence, seed=seed, flow_run_id=flow_run_id)
    seconds = round(time.monotonic() - began, 3)
    proof_id = await patiently(
        resources,
        lambda connection: put_proof(
            connection,
            org_id=org_id,
            entity=entity.name,
            method=method,
            verdict=evidence.verdict,
            facts=facts,
            requests=requests,
            seconds=seconds,
        ),
    )
    return Proof(
        proof_id=proof_id,
        org_id=org_id,
        entity=entity.name,
        method=method,
        verdict=evidence.verdict,
        message=evidence.message,
        facts=facts,
        requests=requests,
        seconds=seconds,
    )


@dataclass(kw_only=True)
class _Proving:
    listing: Listing
    mirror: Mirror
    found: Difference = field(default_factory=Difference)
    hidden: int = 0
    unstorable: int = 0
    listed: int = 0
    pages: int = 0

    async def run(self, method: Method, *, sample_pages: int, chance: random.Random) -> Evidence:
        counting = Counting(listing=self.listing, moment=self.mirror.moment, read_mirror=self._count_mirror)
        try:
            if method == "count":
                counted = await counting.count()
            elif method == "sample":
                counted = await self._compare_some(counting, sample_pages, chance)
            else:
                counted = await self._compare_all(counting)
        except (Unauthorized, Unreachable, WaitError):
            raise
        except PcoError as error:
            mirrored = (await self._count_mirror()).live
            doubt = f"Planning Center did not show the list: {error}"
            counted, self.found = Counted(said=None, mirrored=mirrored, doubt=doubt), Difference()
        seen = evidence_of(
            self.found,
            method=method,
            as_of=self.mirror.as_of,
            mirror_count=counted.mirrored,
            quarantine=await self.mirror.quarantine(),
            doubt=counted.doubt,
            hidden=self.hidden,
            listed=self.listed,
            unstorable=self.unstorable,
        )
        newer = max(seen.newer, counted.newer)
        return replace(seen, pco_count=counted.said, surplus=counted.surplus, pages=self.pages, newer=newer)

    @property
    def _entity(self) -> Entity:
        return self.listing.entity

    async def _count_mirror(self) -> MirrorCounts:
        return await self.mirror.count(cut=self.mirror.as_of + ONE_SECOND)

    async def _compare_all(self, counting: Counting) -> Counted:
        """Every page, whatever was created when; and every row of the mirror that none of them shows."""
        first = await self.listing.page()
        doubt = await counting.doubt_all(first)
        whole = WholeList(listing=self.listing, take=self._compare_by_ids)
        doubt = await whole.read(first) or doubt
        live = await self.mirror.live_rows()
        for identity in live.keys() - whole.keys:
            kind = self.found.newer if live[identity] >= self.mirror.state.now else self.found.ghosts
            kind.add(identity)
        self.pages, self.listed, self.unstorable = whole.pages, len(whole.keys), len(whole.rejected)
        again = await self._look_again()
        return Counted(said=whole.total, mirrored=len(live), doubt=doubt or again)

    async def _compare_some(self, counting: Counting, sample_pages: int, chance: random.Random) -> Counted:
        """The first page, the last one, and some in between; without a deep offset where there is another way."""
        first = await self.listing.page()
        lasts = [first]
        places = await self._places(first, sample_pages, chance)
        await self._compare_page(WHOLE, first, opens=True, closes=first.next_offset is None)

        async def take(window: Window, page: ListedPage) -> None:
            is_last = window == WHOLE and (window, page.offset) == places[-1]
            lasts.extend([page] if is_last else [])
            await self._compare_page(window, page, opens=False, closes=is_last and page.next_offset is None)

        await self.listing.each(places, take)
        self.pages = 1 + len(places)
        doubt = await self._look_again()
        counted = await counting.judge(lasts[-1], await self._count_mirror(), added=len(self.found.added))
        return replace(counted, doubt=counted.doubt or doubt)

    async def _places(self, first: ListedPage, sample_pages: int, chance: random.Random) -> list[tuple[Window, int]]:
        total = first.total or 0
        last_offset = (total - 1) // PAGE * PAGE if total else 0
        if last_offset == 0 or first.next_offset is None:
            return []
        if total > DEEP_OFFSET and can_be_ranged(self._entity, "created_at"):
            shares = [*sorted(chance.random() for _ in range(sample_pages - 2)), 1 - PAGE / 2 / total]
            times = await self.mirror.creation_times(shares)
            cut = self.mirror.as_of + ONE_SECOND
            return [
                (Window(attribute="created_at", since=at.replace(microsecond=0), until=None, before=cut), 0)
                for at in dict.fromkeys(times)
            ]
        between = range(PAGE, last_offset, PAGE)
        chosen = sorted(chance.sample(between, min(sample_pages - 2, len(between))))
        return [(WHOLE, offset) for offset in (*chosen, last_offset)]

    async def _compare_page(self, window: Window, page: ListedPage, *, opens: bool, closes: bool) -> None:
        """A page with the rows between its ends; the first and the last one with what is before and behind, too."""
        self.unstorable += len(page.rejected)
        self.listed += len(page.keys)
        ids = page.ids
        if not ids and not (opens and closes):
            return
        if not (page.is_inside and are_in_order(ids)):
            await self._compare(page.records, await self.mirror.rows_by_id(ids))
            return
        stretch = Stretch(
            first=None if opens or not ids else ids[0],
            last=None if closes or not ids else ids[-1],
            created_since=window.since,
            created_before=window.before,
        )
        rows = await self.mirror.rows_of(stretch)
        await self._compare(page.records, {one: row for one, row in rows.items() if one not in page.rejected})

    async def _compare_by_ids(self, page: ListedPage) -> None:
        await self._compare(page.records, await self.mirror.rows_by_id(page.ids))

    async def _compare(self, shown: Sequence[Shown], rows: Mapping[str, MirroredRow]) -> None:
        self.found |= compare(
            shown,
            rows,
            entity=self._entity,
            moment=self.mirror.moment(),
            quarantined=self.mirror.state.quarantine.record_ids,
            values=await self.mirror.values(rows),
        )

    async def _look_again(self) -> str:
        """Whatever differs is requested by its id, and compared with the row as it is by then.

        Of very many only some are. If those do not differ any more, the others prove nothing; nor does a record that
        is listed, has no row, and is not found by its id. Why, is returned.
        """
        found, doubts = self.found, []
        for name, kind in (("unmirrored", found.unmirrored), ("outdated", found.outdated), ("ghosts", found.ghosts)):
            ids = sorted(kind)[:MOST_REQUESTED]
            others = kind.difference(ids)
            hidden = self.hidden
            gone = await self._look_at(ids, kind)
            if gone and kind is found.unmirrored:
                doubts.append(f"{there_are(gone, 'listed record')} not found by id, and not in the mirror")
            if others and (kind <= others or self.hidden > hidden):
                kind -= others
                doubts.append(f"{len(others)} {name} that were not looked at again, while others were none")
        return "; ".join(doubts)

    async def _look_at(self, ids: Sequence[str], kind: set[str]) -> int:
        """How many of them neither Planning Center shows by their id nor the mirror has."""
        records = dict(zip(ids, await in_parallel([self._record(one) for one in ids]), strict=True))
        rows = await self.mirror.rows_by_id(ids)
        values = await self.mirror.values(rows)
        kind.difference_update(one for one, shown in records.items() if not isinstance(shown, UnclearError))
        for identity, shown in records.items():
            row = rows.get(identity)
            if isinstance(shown, Shown):
                if kind is self.found.ghosts and row is not None:
                    self.hidden += is_same(shown, row, self._entity, values.get(identity))
                await self._compare([shown], {} if row is None else {identity: row})
            elif shown is None and row is not None:
                self.found.ghosts.add(identity)
        return sum(shown is None and identity not in rows for identity, shown in records.items())

    async def _record(self, identity: str) -> Shown | UnclearError | None:
        try:
            return await self.listing.record(identity)
        except UnclearError as error:
            return error
