"""The client alone, without Prefect, Postgres and Redis: count a church's people by status.

PCO_SYNC_APPLICATION_ID=... PCO_SYNC_SECRET=... .venv/bin/python examples/count_people.py [ADDRESS]
"""

import asyncio
import os
import sys
from collections import Counter

import httpx

from pco_catalog import load_catalog
from pco_client import PageRequest, PcoClient, PersonalAccessToken, read_resource
from pco_client.client import BASE_URL
from pco_client.documents import MalformedRecord
from pco_client.errors import PcoError


async def count(credential: PersonalAccessToken, base_url: str) -> Counter[object]:
    """Every request waits for its place in PCO's rate limit; a 429 is waited out."""
    people = load_catalog().entity("people.Person")
    assert people.list_path is not None
    by_status: Counter[object] = Counter()
    async with httpx.AsyncClient(timeout=60) as http:
        client = PcoClient(http, credential=credential, base_url=base_url)
        request = PageRequest(path=people.list_path, api_version=people.api_version)
        async for page in client.stream_pages(request, expected_type=people.resource):
            for record in page.records:
                by_status[read_resource(record, expected_type=people.resource).attributes.get("status")] += 1
    return by_status


def main(*addresses: str) -> None:
    """Print the counts, or the line that says why there are none."""
    base_url = next(iter(addresses), "") or os.environ.get("PCO_SYNC_PCO_BASE_URL") or BASE_URL
    try:
        credential = PersonalAccessToken(
            os.environ.get("PCO_SYNC_APPLICATION_ID", ""), os.environ.get("PCO_SYNC_SECRET", "")
        )
    except ValueError:
        sys.exit("set PCO_SYNC_APPLICATION_ID and PCO_SYNC_SECRET, the two halves of a Personal Access Token")
    try:
        by_status = asyncio.run(count(credential, base_url))
    except (PcoError, MalformedRecord) as error:
        sys.exit(f"{base_url}: {error}")
    sys.stdout.write(", ".join(f"{number} {status}" for status, number in by_status.most_common()) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:2])
