"""Mirror one entity from your own Python: `.venv/bin/python examples/sync_people.py ORG_ID [ENTITY]`.

The servers are those that your environment names, else those that `make up` or `make demo` started.
"""

import sys

from deployments.environment import find_servers
from deployments.foreseen import foreseen


def main(org_id: str, entity: str = "people.Person") -> None:
    """Inside async code it is `summary = await sync_entity(...)`."""
    find_servers()  # before Prefect is imported, which reads its settings then
    from flows.sync_entity import sync_entity

    summary = sync_entity(org_id=org_id, entity=entity)
    sys.stdout.write(
        f"{summary.key}: {summary.outcome}, {summary.records} records in {summary.pages} pages, {summary.new} new, "
        f"{summary.changed} changed, {summary.unchanged} unchanged, {summary.quarantined} in quarantine\n"
    )


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: .venv/bin/python examples/sync_people.py ORG_ID [ENTITY]")
    try:
        main(*sys.argv[1:])
    except Exception as error:
        known = foreseen(error)
        if known is None:
            raise
        sys.exit(f"error: {known[0]}")
