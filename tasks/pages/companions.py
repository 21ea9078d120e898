"""What comes with a page's records: found in the answer, completed where it is not all there, committed with the page.

An include is data that PCO may cut, drop or delay without saying so. Where a page does not tell everything of an owner,
that owner's own list is read; where it tells too little of too many, or PCO does not offer the include any more, the
kind is dropped from this run, and its lists are read per owner instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

from pco_client.client import FetchedPage
from pco_client.documents import Page
from pco_client.errors import PcoError
from pco_store.ledger.members import drop_member
from pco_store.ledger.page_commit import PageOfRows
from pco_store.ledger.quarantine.items import Quarantined
from pco_store.ledger.runs import PageReceipt, check_fence
from tasks.logs import sync_logger
from tasks.pages.own_list import NOT_SHOWN, OwnList, read_own_list
from tasks.pages.page_ref import PageRef
from tasks.pages.quarantining import as_quarantined
from tasks.pages.sync_context import Companion, SyncContext
from tasks.pages.unnamed import OwnerSearch
from tasks.retries import POISONOUS
from tasks.rows.sideloaded import Sideloaded, divide_included, key_of, without_included
from tasks.rows.transform import TransformedPage, transform_page

MOST_UNTOLD: Final = 5
"""Owners of one page whose own lists are read instead; if it tells too little of more, the include is not kept to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Brought:
    """The rows of one kind that came with a page, and what of them could not be rows."""

    companion: Companion
    rows: TransformedPage
    quarantined: list[Quarantined]
    count: int

    def with_page(self, at: PageReceipt) -> PageOfRows:
        """What its run commits with the page at `at`."""
        receipt = replace(
            at,
            rows=self.count,
            misfits=self.rows.misfits,
            quarantined=len(self.quarantined),
            requests=0,
            waited_seconds=0.0,
            total_count=None,
        )
        return PageOfRows(
            run=self.companion.run,
            table=self.companion.table,
            rows=self.rows.rows,
            receipt=receipt,
            ids=self.rows.ids,
        )


async def take_companions(
    sync: SyncContext, fetched: FetchedPage, at: PageRef, *, observed_at: datetime
) -> list[Brought]:
    """The records of other kinds that came with a page; its own are left as any other request shows them.

    If the page was requested without its includes, every owner's own lists are read. Where nobody names a record, parts
    of the page are requested, to learn with whom it comes. What PCO does not keep to is dropped from the
    run. Raises the client's errors, `LeaseLost`, and the store's errors.
    """
    if at.include:
        await _drop_what_is_not_offered(sync, fetched.page)
    kinds = _divide(sync, fetched.page, asked=bool(at.include))
    for kind in kinds:
        if max(len(kind.untold), len(kind.unnamed)) > MOST_UNTOLD:
            reason = f"a page does not tell all {kind.sideload.include} of {len(kind.untold)} of its records"
            if kind.unnamed:
                reason = f"a page does not tell whose {len(kind.unnamed)} of the {kind.sideload.include} are"
            await _drop(sync, kind.sideload.include, reason)
    for kind in kinds:
        if kind.sideload.include in sync.companions:
            await _complete(sync, kind)
    await _find_owners(sync, [kind for kind in kinds if kind.sideload.include in sync.companions], at)
    return [
        _brought(sync, sync.companions[kind.sideload.include], kind, observed_at, at)
        for kind in kinds
        if kind.records and kind.sideload.include in sync.companions
    ]


def _divide(sync: SyncContext, page: Page, *, asked: bool) -> list[Sideloaded]:
    pairs = [(one.sideload, one.entity) for one in sync.companions.values()]
    kinds = divide_included(page.records, page.included if asked else (), pairs, list_scope=sync.run.scope)
    without_included(page.records, sync.entity, [one.rpartition(".")[2] for one in sync.included])
    for kind in kinds:
        inner = f"{kind.sideload.include}."
        without_included(kind.records, kind.entity, [one.removeprefix(inner) for one in sync.included if inner in one])
    return kinds


async def _drop_what_is_not_offered(sync: SyncContext, page: Page) -> None:
    if page.can_include is None:
        return
    for include in list(sync.companions):
        if include.partition(".")[0] not in page.can_include:
            await _drop(sync, include, f"Planning Center does not offer {include} with this list any more")


async def _drop(sync: SyncContext, include: str, reason: str) -> None:
    companion = sync.companions.get(include)
    if companion is None:
        return
    async with sync.database.transaction() as connection:
        await check_fence(connection, sync.run)
        await drop_member(connection, companion.run, companion.sideload, reason)
    if sync.forget_companion(include):  # pages beside this one find out, too
        sync_logger().warning("%s: %s is not read with it any more: %s", sync.run.key, companion.entity.name, reason)


async def _complete(sync: SyncContext, kind: Sideloaded) -> None:
    for owner in kind.untold:
        own = await _own_list(sync, kind, owner)
        if isinstance(own, PcoError):
            reason = f"{kind.sideload.include} came in part with a record whose own list is not shown: {own.message}"
            await _drop(sync, kind.sideload.include, reason)
            return
        sync.patient.requests += own.requests
        for record in own.records:
            kind.add(record, owner)


async def _own_list(sync: SyncContext, kind: Sideloaded, owner: str) -> OwnList | PcoError:
    """An owner's own list, or why PCO does not show it. If PCO fails for all else, too, that is raised: the whole page
    is tried again."""
    read = partial(read_own_list, sync.client, kind.entity, kind.sideload.path, owner, lane=sync.lane)
    try:
        return await read()
    except NOT_SHOWN as error:
        sync.patient.requests += 1
        return error
    except POISONOUS:
        sync.patient.requests += 1
        await sync.see_the_product()
    try:
        return await sync.patient.patiently(read)
    except NOT_SHOWN as error:
        return error
    except POISONOUS as error:
        return error


async def _find_owners(sync: SyncContext, kinds: Sequence[Sideloaded], at: PageRef) -> None:
    """What was shown by the own list of an owner, too, is that one's."""
    for kind in kinds:
        own = {key_of(one): owner for one, owner in zip(kind.records, kind.owners, strict=True) if owner is not None}
        for key, place in kind.unnamed.items():
            kind.owners[place] = own.get(key)
    if wanted := frozenset(key for kind in kinds for key in kind.unnamed):
        search = OwnerSearch(sync=sync)
        await search.look(at, wanted)
        for kind in kinds:
            for key, place in kind.unnamed.items():
                if (owner := search.found.get(key)) is not None:
                    kind.owners[place] = kind.scope_of(owner)


def _brought(sync: SyncContext, companion: Companion, kind: Sideloaded, observed_at: datetime, at: PageRef) -> Brought:
    rows = transform_page(
        kind.records,
        entity=companion.entity,
        org_id=sync.run.org_id,
        epoch=sync.run.epoch,
        observed_at=observed_at,
        parents_of_each=kind.parents(),
    )
    sync.drift.unknown_attributes |= {f"{companion.entity.resource}.{name}" for name in rows.unknown_attributes}
    quarantined = [
        as_quarantined(
            one,
            run=companion.run,
            entity=companion.entity.name,
            page=at,
            offset=at.offset,
            observed_at=observed_at,
            owner=kind.owners[one.place],
        )
        for one in rows.rejected
    ]
    return Brought(companion=companion, rows=rows, quarantined=quarantined, count=len(kind.records))
