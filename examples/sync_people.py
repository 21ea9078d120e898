"""Mirror one entity from your own Python: `python examples/sync_people.py ORG_ID [ENTITY]`, from the project's folder.

The servers are those of your environment: `eval "$(.venv/bin/python -m deployments env)"` names the ones that
`make up` started.
"""

import sys

from flows.sync_entity import sync_entity


def main(org_id: str, entity: str = "people.Person") -> None:
    """Inside async code it is `summary = await sync_entity(...)`."""
    summary = sync_entity(org_id=org_id, entity=entity)
    sys.stdout.write(
        f"{summary.key}: {summary.outcome}, {summary.records} records in {summary.pages} pages, {summary.new} new, "
        f"{summary.changed} changed, {summary.unchanged} unchanged, {summary.quarantined} in quarantine\n"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
