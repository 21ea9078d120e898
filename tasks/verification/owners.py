"""Compares a kind that has no list of its own with the lists of single owners: of some owners, or of all.

An owner is named as a fan-out names a parent, by the ids in the path of its list. The lists are read exactly, so what
one of them does not show is not in it. Where an owner differs, its list and its rows are read once more, and only what
differs both times counts.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.ancestors import is_shared, path_below
from pco_catalog.catalog import Entity
from pco_catalog.chains import Chain, Level
from pco_client.client import PcoClient
from pco_client.errors import PcoError, Unauthorized, Unreachable, WaitError
from pco_store.mirror.owners import count_owners, named_owners, owners_by_chance, owners_with_most
from tasks.background import in_parallel
from tasks.reports.counted import counted
from tasks.verification.comparison import Difference, Shown, compare, is_same
from tasks.verification.listing import ListedPage, Listing, OwnersRecords, UnclearError, listing_of
from tasks.verification.mirrored import Mirror
from tasks.verification.proof import Evidence, Method, evidence_of
from tasks.verification.whole_list import WholeList

AT_A_TIME: Final = 100
"""Owners whose lists are in memory together, and whose rows are read by one statement."""

SHARE_WITH_MOST: Final = 4
"""One in so many owners of a sample has more records than others; the rest is there by chance."""

MOST_LOOKED_AT_AGAIN: Final = 100
"""Owners that still differ when they are looked at again, and rows that are requested by their id; after that nothing
is taken for chance."""


@dataclass(kw_only=True)
class OwnersCompared:
    """One comparison. `chain` leads to the kind; its last level is the list that each owner has."""

    client: PcoClient
    chain: Chain
    mirror: Mirror
    found: Difference = field(default_factory=Difference)
    owners: int = 0
    hidden: int = 0
    unstorable: int = 0
    listed: set[str] = field(default_factory=set)
    _unread: dict[tuple[str, str], PcoError] = field(default_factory=dict)
    _differing: int = 0
    _requested: int = 0
    _unasked: set[str] = field(default_factory=set)
    _listings: dict[str, Listing] = field(default_factory=dict)

    async def run(self, method: Method, *, sample: int, seed: int) -> Evidence:
        """Compare `sample` owners, or all. Raises the errors that are not about a list: credential, network, store."""
        doubts: list[str] = []
        if method == "full":
            owners, doubt = await self._all_owners()
            known = len(owners)
            doubts.append(doubt)
        else:
            owners, known = await self._some_owners(sample, random.Random(seed))  # noqa: S311
            doubts.append("" if owners else await self._why_no_owner())
        for batch in _in_batches(owners):
            await self._take(batch)
        if not self._level.is_shared:
            self.found.ghosts -= self.listed  # it has another owner by now
        left = await self._left() if method == "full" else 0
        doubts += [
            self._unread_lists(known),
            self._unasked_ghosts(),
            f"{left} rows name no owner, and no owner shows them" if left else "",
        ]
        as_of = self.mirror.as_of
        seen = evidence_of(
            self.found,
            method=method,
            as_of=as_of,
            mirror_count=(await self.mirror.count(cut=as_of)).live,
            quarantine=await self.mirror.quarantine(),
            doubt="; ".join(one for one in doubts if one),
            listed=len(self.listed),
            hidden=self.hidden,
            unstorable=self.unstorable,
        )
        return replace(seen, owners=self.owners, known_owners=max(known, self.owners))

    @property
    def requests(self) -> int:
        """What it has cost so far."""
        return sum(one.requests for one in self._listings.values())

    @property
    def _level(self) -> Level:
        return self.chain.levels[-1]

    @property
    def _entity(self) -> Entity:
        return self._level.entity

    def _listing(self, entity: Entity) -> Listing:
        if entity.name not in self._listings:
            self._listings[entity.name] = listing_of(self.mirror.resources, self.client, entity, self.mirror.org_id)
        return self._listings[entity.name]

    async def _some_owners(self, sample: int, chance: random.Random) -> tuple[list[str], int]:
        """Those with most records and others by chance, as the mirror knows them, and how many it knows."""
        org_id, level, seed = self.mirror.org_id, self._level, str(chance.random())

        async def choose(connection: AsyncConnection) -> tuple[list[str], int]:
            most = await owners_with_most(
                connection, org_id, level.entity, level.path, limit=max(1, sample // SHARE_WITH_MOST)
            )
            known = await count_owners(connection, org_id, level.parent, level.path)
            others = await owners_by_chance(connection, org_id, level.parent, level.path, seed=seed, limit=sample)
            if not known:
                named = sorted(await named_owners(connection, org_id, level.entity, level.path))
                known, others = len(named), chance.sample(named, min(sample, len(named)))
            return list(dict.fromkeys((*most, *others)))[:sample], known

        return await self.mirror.read(choose)

    async def _why_no_owner(self) -> str:
        """Of a sample without owners: empty if Planning Center lists none either, else what that leaves open."""
        root = self.chain.root
        try:
            page = await self._listing(root).page()
        except (Unauthorized, Unreachable, WaitError):
            raise
        except PcoError as error:
            return f"the mirror knows no owner, and Planning Center did not show the list of {root.name}: {error}"
        if page.keys or page.total:
            return f"the mirror knows no owner, but Planning Center lists {root.name}"
        return ""

    async def _all_owners(self) -> tuple[list[str], str]:
        """All that Planning Center lists, level by level, and those that only a row names; what is not certain."""
        scopes: list[str] = []
        unusable = 0

        async def take(page: ListedPage) -> None:
            nonlocal unusable
            scopes.extend(page.ids)
            unusable += len(page.rejected)

        try:
            root = self._listing(self.chain.root)
            doubt = await WholeList(listing=root, take=take).read(await root.page())
        except (Unauthorized, Unreachable, WaitError):
            raise
        except PcoError as error:
            doubt = f"Planning Center did not show the list of {self.chain.root.name}: {error}"
        for level, following in pairwise(self.chain.levels):
            below: list[str] = []
            for batch in _in_batches(scopes):
                for scope, own in (await self._lists(level, batch)).items():
                    below.extend(following.scope_below(scope, one.id) for one in own.records)
                    unusable += len(own.rejected)
            scopes = below
        if unusable:
            doubt = "; ".join(filter(None, (doubt, f"{counted(unusable, 'owner')} cannot be stored, so nothing below")))
        named = await self.mirror.read(
            lambda connection: named_owners(connection, self.mirror.org_id, self._entity, self._level.path)
        )
        return list(dict.fromkeys((*scopes, *sorted(named)))), doubt

    async def _lists(self, level: Level, owners: Sequence[str]) -> dict[str, OwnersRecords]:
        """The lists of these owners; without those that Planning Center does not show."""
        listing, room = self._listing(level.entity), asyncio.Semaphore(self.mirror.resources.settings.pages_in_flight)

        async def read(owner: str) -> OwnersRecords | None:
            async with room:
                try:
                    return await listing.of_owner(level.path, owner)
                except (Unauthorized, Unreachable, WaitError):
                    raise
                except PcoError as error:
                    self._unread[level.path, owner] = error
                    return None

        read_lists = zip(owners, await in_parallel([read(one) for one in owners]), strict=True)
        return {owner: own for owner, own in read_lists if own is not None}

    async def _take(self, owners: Sequence[str]) -> None:
        compared = await self._compare(owners)
        again: list[str] = []
        if self._differing < MOST_LOOKED_AT_AGAIN:
            again = [owner for owner, (_, found) in compared.items() if not found.is_none]
        for owner, (own, found) in (await self._compare(again)).items():
            found.keep(compared[owner][1].ids)
            compared[owner] = own, found
            await self._excuse(owner, found)
            self._differing += not found.is_none
        for owner, (own, found) in compared.items():
            if (self._level.path, owner) in self._unread:
                continue
            self.owners += 1
            self.found |= found
            self.listed.update(own.rejected, (one.id for one in own.records))
            self.unstorable += len(own.rejected)

    async def _compare(self, owners: Sequence[str]) -> dict[str, tuple[OwnersRecords, Difference]]:
        lists = await self._lists(self._level, owners) if owners else {}
        placed = await self.mirror.rows_of_owners(self._level.path, list(lists))
        rows = await self.mirror.rows_by_id({one.id for own in lists.values() for one in own.records})
        values = await self.mirror.values(
            {**rows, **{one: row for here in placed.values() for one, row in here.items()}}
        )
        compared = {}
        for owner, own in lists.items():
            ids = {one.id for one in own.records}
            here = {one: row for one, row in placed.get(owner, {}).items() if one not in own.rejected}
            compared[owner] = (
                own,
                compare(
                    own.records,
                    {one: rows[one] for one in ids & rows.keys()} | here,
                    entity=self._entity,
                    moment=self.mirror.moment(),
                    quarantined=self.mirror.state.quarantine.record_ids,
                    values=values,
                    misplaced=ids - here.keys() if self._is_placed else frozenset(),
                ),
            )
        return compared

    @property
    def _is_placed(self) -> bool:
        """Whether the mirror knows in whose lists a row stands: not of what many owners share and comes with them."""
        return bool(self.mirror.state.below) or not is_shared(self._entity, self._level.path)

    async def _excuse(self, owner: str, found: Difference) -> None:
        """A row that is not listed, but shown by its id, is no ghost; and where records have no times of their own,
        an owner that has changed meanwhile may have got others."""
        if found.ghosts and self._level.path not in self._entity.single_paths:
            await self._look_for(owner, found)
        if not (found.unmirrored or found.outdated) or {"created_at", "updated_at"} & self._entity.attributes.keys():
            return
        path = self._level.path
        where, last = path[: path.rindex("/{")], owner.rpartition("/")[2]
        try:
            shown = await self._listing(self._level.parent).record(last, where=path_below(where, owner))
        except UnclearError:
            return
        if shown is not None and self.mirror.moment().is_newer(shown):
            found.excuse_changes()

    async def _look_for(self, owner: str, found: Difference) -> None:
        asked = sorted(found.ghosts)[: max(MOST_LOOKED_AT_AGAIN - self._requested, 0)]
        self._requested += len(asked)
        self._unasked |= found.ghosts.difference(asked)
        rows = await self.mirror.rows_by_id(asked)
        values = await self.mirror.values(rows)
        for identity, shown in zip(asked, await in_parallel([self._record(owner, one) for one in asked]), strict=True):
            if shown is not None and identity in rows:
                found.ghosts.discard(identity)
                self.hidden += is_same(shown, rows[identity], self._entity, values.get(identity))
                found |= compare(
                    [shown], {identity: rows[identity]}, entity=self._entity, moment=self.mirror.moment(), values=values
                )

    async def _record(self, owner: str, identity: str) -> Shown | None:
        try:
            return await self._listing(self._entity).record(identity, where=self._level.path_of(owner))
        except UnclearError:
            return None

    async def _left(self) -> int:
        """Rows that no list was compared with; those that a sync has written meanwhile are new."""
        found = self.found
        live = await self.mirror.live_rows()
        left = live.keys() - found.same - found.newer - found.ids - self.listed
        written = {one for one in left if live[one] >= self.mirror.state.now}
        found.newer |= written
        return len(left - written)

    def _unasked_ghosts(self) -> str:
        """Rows that were not requested by their id prove nothing where others were shown by theirs."""
        unasked = self._unasked & self.found.ghosts
        if not (unasked and self.hidden):
            return ""
        self.found.ghosts -= unasked
        return f"{len(unasked)} ghosts that were not looked at again, while others were none"

    def _unread_lists(self, known: int) -> str:
        if not self._unread:
            return ""
        return f"Planning Center did not show the lists of {len(self._unread)} of {known} owners: " + str(
            next(iter(self._unread.values()))
        )


def _in_batches(owners: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(owners), AT_A_TIME):
        yield owners[start : start + AT_A_TIME]
