"""What the first page of a list shows of the assumptions that need no request of their own. Pure."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from pco_catalog.catalog import Catalog, Entity
from pco_catalog.changes import can_be_ranged
from pco_client.documents import Json, MalformedRecord, Page, Resource, read_resource
from tasks.deletions.deleted_filter import FILTERS
from tasks.doctor.findings import ATTRIBUTES, COUNT, ID_ORDER, OFFERS, Finding, named

FEW = 2
"""Records without which nothing can be said about an order."""


def resources_of(page: Page, entity: Entity) -> list[Resource]:
    """The records of a page, without those that are none."""
    return list(_resources(page.records, entity))


def _resources(records: Sequence[Json], entity: Entity) -> Iterator[Resource]:
    for record in records:
        try:
            yield read_resource(record, expected_type=entity.resource)
        except MalformedRecord:
            continue


def time_of(resource: Resource, attribute: str) -> datetime | None:
    """One of its times; None where it has none that can be read."""
    value = resource.attributes.get(attribute)
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return at if at is None or at.tzinfo else at.replace(tzinfo=UTC)


def judge_id_order(entity: Entity, resources: Sequence[Resource]) -> Finding:
    """The default order is by id, as a number: every walk but the newest-first one rests on it."""
    ids = [one.id for one in resources]
    if not all(one.isascii() and one.isdecimal() for one in ids):
        return Finding(entity.name, ID_ORDER, "unseen", "ids that are no numbers")
    if len(ids) < FEW:
        return Finding(entity.name, ID_ORDER, "unseen", "fewer than two records")
    numbers = [int(one) for one in ids]
    wrong = sum(later <= earlier for earlier, later in pairwise(numbers))
    told = f"{wrong} of {len(ids)} records stand behind a greater id, or the same" if wrong else f"{len(ids)} records"
    return Finding(entity.name, ID_ORDER, "fails" if wrong else "holds", told)


def judge_count(entity: Entity, page: Page) -> Finding:
    """The count against what the same answer shows, so that no change of the list can come between."""
    rows, total = len(page.records), page.total_count
    if total is None:
        return Finding(entity.name, COUNT, "fails", "there is none")
    end = page.offset + rows
    if rows and end > total:
        return Finding(entity.name, COUNT, "fails", f"it says {total} where at least {end} are")
    if page.next_offset is None and total != end:
        return Finding(entity.name, COUNT, "fails", f"it says {total} where the list ends after {end}")
    if page.next_offset is not None and total <= page.next_offset - (rows == 0):
        return Finding(entity.name, COUNT, "fails", f"it says {total} where the list goes on")
    return Finding(entity.name, COUNT, "holds", f"{total} records")


def judge_attributes(entity: Entity, resources: Sequence[Resource]) -> Finding:
    """What the catalogue says every record has. What it does not know is mirrored in `extra`, and only named."""
    if not resources:
        return Finding(entity.name, ATTRIBUTES, "unseen", "no records")
    seen = {name for one in resources for name in one.attributes}
    edges = {name for one in resources for name in one.relationships}
    lacking = [
        *(name for name, one in entity.attributes.items() if not one.on_request and name not in seen),
        *(name for name, one in entity.relationships.items() if one.is_always_rendered and name not in edges),
    ]
    new = seen - entity.attributes.keys()
    told = [f"lacks {named(lacking)}"] if lacking else []
    told += [f"new: {named(new)}"] if new else []
    return Finding(entity.name, ATTRIBUTES, "fails" if lacking else "holds", "; ".join(told))


def judge_offers(catalog: Catalog, entity: Entity, page: Page) -> Finding:
    """`can_*` against the catalogue, but for what has a finding of its own because a way relies on it."""
    ranged = {one for one in ("created_at", "updated_at") if can_be_ranged(entity, one)}
    brought = {one.include.partition(".")[0] for one in catalog.sideloads.get(entity.name, ())}
    compared = (
        ("can_query_by", entity.can_query_by - ranged, page.can_query_by),
        ("can_order_by", entity.can_order_by - {"updated_at"}, page.can_order_by),
        ("can_include", entity.can_include - brought, page.can_include),
        ("can_filter", entity.filters_at(entity.list_path or "") - set(FILTERS), page.can_filter),
    )
    told, is_lacking = [], False
    for name, known, offered in compared:
        all_known = known | ranged | brought | {"updated_at"} | set(FILTERS)
        if lacking := known - (offered or frozenset()):
            told.append(f"{name} lacks {named(lacking)}")
            is_lacking = True
        if new := (offered or frozenset()) - all_known:
            told.append(f"{name} has new: {named(new)}")
    return Finding(entity.name, OFFERS, "fails" if is_lacking else "holds", "; ".join(told))
