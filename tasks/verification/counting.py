"""How many records Planning Center counts in a list, and whether that count is to be believed.

The yardstick is not the one of the sync, which reads what was created until a time: it is the count without a filter,
so a record without a time of creation is counted, too. A count has been capped at 10,000 (#736), halved, or missing, so
it is believed only if the list ends where the count says, and if two halves of the list do not add up to more.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pco_catalog.changes import can_be_ranged
from pco_store.ledger.proving.proofs import MirrorCounts
from pco_walks.hidden import looks_capped
from pco_walks.window import ONE_SECOND, Window
from tasks.verification.comparison import Moment
from tasks.verification.listing import PAGE, ListedPage, Listing, last_place


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """What counting has shown. `doubt` says why the counts prove nothing; empty: they are believed.

    `surplus`: how many more PCO counts than the mirror, in all and in each half, without those `newer` than the mirror.
    """

    said: int | None
    mirrored: int
    doubt: str = ""
    newer: int = 0
    surplus: tuple[int, ...] = (0,)


@dataclass(kw_only=True)
class Counting:
    """Counts one list on both sides; `read_mirror` counts the rows."""

    listing: Listing
    moment: Callable[[], Moment]
    read_mirror: Callable[[], Awaitable[MirrorCounts]]

    @property
    def cut(self) -> datetime:
        """The first second that the mirror does not cover."""
        return self.moment().as_of + ONE_SECOND

    async def count(self) -> Counted:
        """Compare the counts, in one to six requests; the first one shows the last record that the mirror knows of."""
        mirror = await self.read_mirror()
        return await self.judge(await self.listing.page(last_place(mirror.live), per_page=2), mirror)

    async def judge(self, page: ListedPage, mirror: MirrorCounts, *, added: int = 0) -> Counted:
        """The same, where a page of the whole list was read already.

        `added`: how many new records that are not in the mirror have been seen; they count where PCO cannot.
        """
        total = page.total
        if total is None:
            return Counted(said=None, mirrored=mirror.live, doubt="Planning Center does not say how many there are")
        halves = await self._halves(mirror)
        doubt = _doubt(page, total, halves)
        mismatch = _mismatch(halves, mirror)
        if doubt or (total == mirror.live and not any(mismatch)):
            return Counted(said=total, mirrored=mirror.live, doubt=doubt)
        newer = await self._newer(is_ranged=bool(halves), added=added)
        surplus = total - (newer or 0) - mirror.older
        if surplus == 0 and not any(mismatch):
            return Counted(said=total, mirrored=mirror.live, newer=newer or 0)
        if surplus > 0 and (newer is None or (added and not halves)):
            doubt = f"Planning Center counts {total}, the mirror {mirror.live}; the others may be new"
            return Counted(said=total, mirrored=mirror.live, doubt=doubt)
        return await self._again(total, surplus=surplus, is_ranged=bool(halves), added=added)

    async def doubt_all(self, page: ListedPage) -> str:
        """Why a list that is read completely may be longer than it says; checked where that is likely, or cheap."""
        total = page.total
        if total is None or not _is_worth_halving(total):
            return ""
        return _doubt(page, total, await self._halves(await self.read_mirror()))

    async def _again(self, total: int, *, surplus: int, is_ranged: bool, added: int) -> Counted:
        """A difference of counts is believed when it is seen twice: meanwhile records come and go on both sides."""
        if surplus == 0:
            mirror = await self.read_mirror()
            halves = await self._halves(mirror)
            return Counted(said=total, mirrored=mirror.live, surplus=(0, *_mismatch(halves, mirror)))
        end = await self.listing.page(total, per_page=1)
        newer = await self._newer(is_ranged=is_ranged, added=added) or 0
        mirror = await self.read_mirror()
        if end.keys:
            return Counted(said=total, mirrored=mirror.live, doubt=_goes_on(total))
        said = total if end.total is None else end.total
        left = said - newer - mirror.older
        if left != surplus and left != 0:
            doubt = "the list and the mirror change faster than they can be counted"
            return Counted(said=said, mirrored=mirror.live, doubt=doubt)
        return Counted(said=said, mirrored=mirror.live, newer=newer, surplus=(left,))

    async def _halves(self, mirror: MirrorCounts) -> list[ListedPage]:
        """What was created before the middle of the mirror, and after it; empty where PCO cannot filter by that."""
        if mirror.middle is None or not can_be_ranged(self.listing.entity, "created_at"):
            return []
        first = Window(attribute="created_at", since=None, until=None, before=mirror.middle)
        second = Window(attribute="created_at", since=mirror.middle, until=None, before=self.cut)
        halves = [
            await self.listing.page(last_place(mirror.first_half), window=first, per_page=2),
            await self.listing.page(window=second, per_page=2),  # unfiltered, it would begin with an old record
        ]
        return halves if all(one.is_inside for one in halves) else []

    async def _newer(self, *, is_ranged: bool, added: int) -> int | None:
        """How many records are new since the mirror was complete; None: some, and PCO cannot count them."""
        if is_ranged:
            window = Window(attribute="created_at", since=self.cut, until=None)
            page = await self.listing.page(window=window, per_page=1)
            return page.total if page.is_inside else None
        entity = self.listing.entity
        order = next((name for name in ("created_at", "updated_at") if name in entity.can_order_by), None)
        if added or (order is None and {"created_at", "updated_at"}.isdisjoint(entity.attributes)):
            return added
        if order is None:
            return None
        newest = await self.listing.page(per_page=1, order=f"-{order}")
        return None if any(self.moment().is_newer(one) for one in newest.records) else 0


def _doubt(page: ListedPage, total: int, halves: Sequence[ListedPage]) -> str:
    if page.contradicts_its_count:
        return _goes_on(total)
    counts = [one.total for one in halves]
    if None in counts or any(one.contradicts_its_count for one in halves):
        return "Planning Center's counts of two halves of the list are missing or wrong"
    said = [one for one in counts if one is not None]
    if sum(said) > total:
        return f"Planning Center counts {total}, but {' and '.join(map(str, said))} in two halves of the list"
    if not (said and all(said)) and looks_capped(total):
        return f"a count of exactly {total} may be capped"
    return ""


def _goes_on(total: int) -> str:
    return f"Planning Center counts {total}, but the list does not end there"


def _mismatch(halves: Sequence[ListedPage], mirror: MirrorCounts) -> tuple[int, ...]:
    pairs = zip(halves, (mirror.first_half, mirror.second_half), strict=False)
    return tuple((one.total or 0) - count for one, count in pairs)


def _is_worth_halving(total: int) -> bool:
    """A cap is a round number; and where twenty pages are read, two more requests are few."""
    return total >= 20 * PAGE or (total >= 50 and total % 50 == 0)
