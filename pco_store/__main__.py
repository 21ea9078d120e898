"""`python -m pco_store migrate`: bring the database of `PCO_SYNC_DATABASE_URL` up to date, and fill it."""

import asyncio
import os
import sys

from pco_store.errors import StoreError
from pco_store.migrate import fill_from_ledger, migrate


def main(arguments: list[str]) -> int:
    """Exit status 0 when the database is at the newest migration."""
    url = os.environ.get("PCO_SYNC_DATABASE_URL", "")
    if arguments != ["migrate"] or not url:
        sys.stderr.write("usage: PCO_SYNC_DATABASE_URL=postgresql://... python -m pco_store migrate\n")
        return 2
    try:
        newest = asyncio.run(migrate(url))
        asyncio.run(fill_from_ledger(url, lambda _: None))
    except StoreError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"the database is at migration {newest}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
