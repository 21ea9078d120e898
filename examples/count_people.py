"""The client alone, without Prefect, Postgres and Redis: count a church's people by status.

PCO_SYNC_APPLICATION_ID=... PCO_SYNC_SECRET=... python examples/count_people.py [BASE_URL]
"""

import asyncio
import os
import sys
from collections import Counter

import httpx

from pco_catalog import load_catalog
from pco_client import PageRequest, PcoClient, PersonalAccessToken, read_resource
from pco_client.client import BASE_URL


async def main(base_url: str = BASE_URL) -> None:
    """Every request waits for its place in PCO's rate limit; a 429 is waited out."""
    people = load_catalog().entity("people.Person")
    assert people.list_path is not None
    credential = PersonalAccessToken(os.environ["PCO_SYNC_APPLICATION_ID"], os.environ["PCO_SYNC_SECRET"])
    by_status: Counter[object] = Counter()
    async with httpx.AsyncClient(timeout=60) as http:
        client = PcoClient(http, credential=credential, base_url=base_url)
        request = PageRequest(path=people.list_path, api_version=people.api_version)
        async for page in client.stream_pages(request, expected_type=people.resource):
            for record in page.records:
                by_status[read_resource(record, expected_type=people.resource).attributes.get("status")] += 1
    sys.stdout.write(", ".join(f"{count} {status}" for status, count in by_status.most_common()) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
