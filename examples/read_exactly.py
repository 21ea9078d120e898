"""Read a list exactly, although it changes meanwhile, into a file of JSON lines: without Prefect, Postgres and Redis.

PCO_SYNC_APPLICATION_ID=... PCO_SYNC_SECRET=... python examples/read_exactly.py people.Person people.jsonl [BASE_URL]
"""

import asyncio
import json
import os
import sys
from pathlib import Path

import httpx

from pco_catalog import load_catalog
from pco_client import PageRequest, PcoClient, PersonalAccessToken, read_resource
from pco_client.client import BASE_URL
from pco_client.errors import PcoError
from pco_walks.back_to_front import BackToFront
from pco_walks.walk import PageReading

USAGE = "usage: .venv/bin/python examples/read_exactly.py ENTITY FILE [BASE_URL]"


async def read_exactly(name: str, credential: PersonalAccessToken, base_url: str) -> list[object]:
    """Every record that is in the list from the beginning of the walk to its end, once; of the others none or one.

    Nothing bounds the list here, so the walk reads one page at a time: the order of the pages is the proof.
    """
    entity = load_catalog().entity(name)
    walk = BackToFront(page_size=100, bounded=False)
    records: dict[str, object] = {}
    async with httpx.AsyncClient(timeout=60) as http:
        client = PcoClient(http, credential=credential, base_url=base_url)
        while not walk.is_finished:
            for page in walk.ready():
                request = PageRequest(
                    path=entity.list_path or "",
                    api_version=entity.api_version,
                    offset=page.offset,
                    per_page=page.size,
                )
                answer = (await client.fetch_page(request, expected_type=entity.resource)).page
                for record in answer.records:
                    records[read_resource(record, expected_type=entity.resource).id] = record
                reading = PageReading(
                    offset=page.offset,
                    size=page.size,
                    reading=page.reading,
                    rows=len(answer.records),
                    next_offset=answer.next_offset,
                    total_count=answer.total_count,
                )
                walk.record(reading)
    return list(records.values())


def main(name: str, target: str, base_url: str = BASE_URL) -> None:
    """Write one JSON object per line, or print the line that says why there are none."""
    try:
        credential = PersonalAccessToken(
            os.environ.get("PCO_SYNC_APPLICATION_ID", ""), os.environ.get("PCO_SYNC_SECRET", "")
        )
        records = asyncio.run(read_exactly(name, credential, base_url))
    except (ValueError, PcoError) as error:
        sys.exit(f"error: {error}")
    Path(target).write_text("".join(f"{json.dumps(one)}\n" for one in records), encoding="utf-8")
    sys.stdout.write(f"{len(records)} records of {name} in {target}\n")


if __name__ == "__main__":
    if not 2 <= len(sys.argv[1:]) <= 3:
        sys.exit(USAGE)
    main(*sys.argv[1:])
