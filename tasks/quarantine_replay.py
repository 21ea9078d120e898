"""Tries again what is quarantined: with today's code and catalogue, and if that does not help, with what PCO says now.

An item is stored as of when it was observed, by the guarded upsert, so a replay never brings back what is older than
the mirror. A place that PCO could not serve has no id to be asked for: only a full sync reads it again.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.ancestors import own_ids_in, path_below
from pco_catalog.catalog import Entity, load_catalog
from pco_catalog.chains import Level, level_of_list
from pco_client.client import PcoClient
from pco_client.documents import Json, read_json
from pco_client.errors import BadRequest, PcoError, SkipError, UnexpectedDocument
from pco_store.churches.wall import refuse_removed
from pco_store.ledger.openings import FAN_OUT_SCOPE
from pco_store.ledger.quarantine.items import OpenItem, list_quarantined, resolve_items
from pco_store.mirror.links import insert_links, shared_list
from pco_store.mirror.tables import mirror_table
from pco_store.mirror.upsert import upsert_rows
from tasks.background import in_parallel
from tasks.lifespan import Resources, get_client_for_org
from tasks.logs import sync_logger
from tasks.pages.sync_context import lane_of
from tasks.patience import patiently
from tasks.reports.replay_summary import ReplaySummary
from tasks.retries import POISONOUS
from tasks.rows.transform import transform_page

BATCH: Final = 100
"""Items looked at and resolved together; as many raw records are in memory at a time."""

_SINGLE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What may stand in a path; the id of a record that was quarantined can be anything."""


STAYS: Final[tuple[type[PcoError], ...]] = (SkipError, BadRequest, UnexpectedDocument, *POISONOUS)
"""Errors by which PCO shows no such record, now or ever."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fit:
    """An item whose record can be a row by now."""

    item: OpenItem
    entity: Entity
    row: dict[str, object]


async def replay_items(resources: Resources, org_id: str, entity: str | None) -> ReplaySummary:
    """Try everything again that is open of a church, or of one of its entities.

    Each batch is one transaction, so it can be interrupted and repeated. Raises the errors of credentials and client
    that are not about one record, and those of the store.
    """
    summary, after = ReplaySummary(org_id=org_id, entity=entity), 0
    while True:
        items = await patiently(
            resources,
            partial(list_quarantined, org_id=org_id, entity=entity, after=after, limit=BATCH),
        )
        if not items:
            return summary
        after = items[-1].quarantine_id
        fits = [fit for item in items if (fit := _fit_of_raw(item)) is not None]
        asking = _Asking(resources, org_id)
        fits += await asking.fits_of(_worth_asking(items, fits))
        stored = await patiently(resources, partial(_settle, fits=fits))
        places = sum(item.raw is None for item in items)
        summary = summary.plus(
            looked_at=len(items),
            stored=stored,
            already_newer=len(fits) - stored,
            still_open=len(items) - len(fits) - places,
            places=places,
            requests=asking.requests,
        )


def row_of(record: Json, *, item: OpenItem, entity: Entity, observed_at: datetime) -> dict[str, object] | None:
    """The row of one record, if it can be one; in the epoch of the run that had put it aside."""
    page = transform_page(
        [record],
        entity=entity,
        org_id=item.org_id,
        epoch=item.epoch,
        observed_at=observed_at,
        parents=_parents_of(item, entity),
    )
    return page.rows[0] if page.rows else None


def _parents_of(item: OpenItem, entity: Entity) -> Mapping[str, str]:
    """What the item's list, or the record with which it came, tells of it."""
    if (level := _level_of(item, entity)) is not None:
        return level.parents_of(item.scope)
    if item.scope not in ("", FAN_OUT_SCOPE) and item.final_entity is None and entity.sideload is not None:
        return own_ids_in(entity, entity.sideload.path, item.scope)
    return {}


def _level_of(item: OpenItem, entity: Entity) -> Level | None:
    """By which list below parents the item was shown; None if it was at top level."""
    if item.scope in ("", FAN_OUT_SCOPE):
        return None
    level = level_of_list(load_catalog(), entity, final_entity=item.final_entity, below=item.below)
    return level if level is not None and level.depth == item.scope.count("/") + 1 else None


def _fit_of_raw(item: OpenItem) -> _Fit | None:
    entity = load_catalog().by_name.get(item.entity)
    if item.raw is None or entity is None:
        return None
    row = row_of(read_json(item.raw.encode()), item=item, entity=entity, observed_at=item.observed_at)
    return None if row is None else _Fit(item=item, entity=entity, row=row)


def _worth_asking(items: Sequence[OpenItem], fits: Sequence[_Fit]) -> list[tuple[OpenItem, Entity]]:
    """Those that still do not fit, and that PCO can be asked for: it has them by their ids below a list."""
    fitting = {fit.item.quarantine_id for fit in fits}
    found = []
    for item in items:
        entity = load_catalog().by_name.get(item.entity)
        if item.raw is None or item.quarantine_id in fitting or entity is None:
            continue
        if _single_path(item, entity) is not None:
            found.append((item, entity))
    return found


def _single_path(item: OpenItem, entity: Entity) -> str | None:
    """Where PCO shows the record alone; None where it cannot be asked for."""
    if item.record_id is None or not _SINGLE_ID.fullmatch(item.record_id):
        return None
    if entity.list_path is not None:
        return f"{entity.list_path}/{item.record_id}"
    ids = item.scope.split("/")
    if entity.sideload is None or item.final_entity is not None or not all(map(_SINGLE_ID.fullmatch, ids)):
        return None
    path = path_below(entity.sideload.path, item.scope)
    return path if entity.sideload.path in entity.single_paths else f"{path}/{item.record_id}"


async def _settle(connection: AsyncConnection, fits: Sequence[_Fit]) -> int:
    """Store the rows and resolve their items; how many rows the mirror has taken. Raises `ChurchRemoved`."""
    await refuse_removed(connection, *{fit.item.org_id for fit in fits})
    stored = 0
    for fit in sorted(fits, key=lambda one: (one.entity.name, str(one.row["id"]))):  # one lock order: no deadlocks
        counts = await upsert_rows(connection, mirror_table(fit.entity), [fit.row])
        stored += counts.new + counts.changed
        level = _level_of(fit.item, fit.entity)
        if level is not None:
            at = shared_list(fit.entity, level.path, org_id=fit.item.org_id, scope=fit.item.scope)
            if at is not None:
                await insert_links(connection, [str(fit.row["id"])], at, fit.item.observed_at)
    await resolve_items(connection, [fit.item.quarantine_id for fit in fits])
    return stored


class _Asking:
    """Asks PCO for single records of a church. Credentials are looked for only when there is something to ask."""

    def __init__(self, resources: Resources, org_id: str) -> None:
        self._resources = resources
        self._org_id = org_id
        self._room = asyncio.Semaphore(resources.settings.pages_in_flight)
        self.requests = 0

    async def fits_of(self, wanted: Sequence[tuple[OpenItem, Entity]]) -> list[_Fit]:
        """Those that PCO shows, and whose record fits now."""
        if not wanted:
            return []
        client = await get_client_for_org(self._org_id, self._resources, kept=True)
        fits = await in_parallel(self._fit_of(client, item, entity) for item, entity in wanted)
        return [fit for fit in fits if fit is not None]

    async def _fit_of(self, client: PcoClient, item: OpenItem, entity: Entity) -> _Fit | None:
        path = _single_path(item, entity)
        assert path is not None, "it was worth asking"
        patient = self._resources.patient_client(client, lane=lane_of(item.org_id, entity))
        async with self._room:
            asked_at = datetime.now(UTC) + await self._resources.clock_offset()
            try:
                document = await patient.fetch_document(path, api_version=entity.api_version, is_one_record=True)
            except STAYS as error:
                sync_logger().info("item %d stays in quarantine: %s", item.quarantine_id, error)
                return None
            finally:
                self.requests += patient.requests
        row = row_of(document["data"], item=item, entity=entity, observed_at=asked_at)
        is_it = row is not None and row["id"] == item.record_id
        return _Fit(item=item, entity=entity, row=row) if row is not None and is_it else None
