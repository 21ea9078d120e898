"""The list of one owner, read exactly and kept in memory: what to do where a page does not tell all of it."""

from dataclasses import dataclass, field
from typing import Final

from pco_catalog.ancestors import path_below
from pco_catalog.catalog import Entity
from pco_client.client import PcoClient
from pco_client.documents import Json
from pco_client.errors import BadRequest, NotFound, SkipError, UnexpectedDocument
from pco_client.sansio import MOST_PER_PAGE, PageRequest
from pco_walks.back_to_front import BackToFront
from pco_walks.walk import PageReading

NOT_SHOWN: Final = (SkipError, BadRequest, UnexpectedDocument)
"""PCO does not show the list of this owner, now or later; that says nothing of the lists of others."""


@dataclass(kw_only=True, slots=True)
class OwnList:
    """What one owner's list shows; nothing where the owner is gone, or has no record of that kind."""

    records: list[Json] = field(default_factory=list)
    requests: int = 0


async def read_own_list(client: PcoClient, entity: Entity, path: str, owner: str, *, lane: str) -> OwnList:
    """The records below an owner, whose id (and those of its own parents, before it) stands in `path`.

    Every record that is there from the first request to the last is in it. Raises the client's errors.
    """
    found, where = OwnList(), path_below(path, owner)
    try:
        if path in entity.single_paths:
            document = await client.fetch_document(where, api_version=entity.api_version, lane=lane)
            found.requests += 1
            found.records.append(document["data"])
        else:
            await _walk(client, entity, where, found, lane=lane)
    except NotFound:
        return OwnList(requests=found.requests + 1)
    return found


async def _walk(client: PcoClient, entity: Entity, path: str, found: OwnList, *, lane: str) -> None:
    walk = BackToFront(page_size=MOST_PER_PAGE, bounded=False)
    while not walk.is_finished:
        for turn in walk.ready():
            request = PageRequest(path=path, api_version=entity.api_version, offset=turn.offset, per_page=turn.size)
            fetched = await client.fetch_page(request, expected_type=entity.resource, lane=lane)
            found.requests += fetched.requests
            found.records.extend(fetched.page.records)
            walk.record(
                PageReading(
                    offset=turn.offset,
                    size=turn.size,
                    reading=turn.reading,
                    rows=len(fetched.page.records),
                    next_offset=fetched.page.next_offset,
                    total_count=fetched.page.total_count,
                )
            )
