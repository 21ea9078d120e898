"""`migrate`: the tables."""

import os

from deployments.environment import find_servers
from deployments.parameters import Json
from deployments.terminal import terminal


def migrate(*, json: Json = False) -> int:
    """Bring the tables of the mirror up to date."""
    find_servers()
    from deployments.operations.migrate import migrate_and_fill

    return migrate_and_fill(os.environ["PCO_SYNC_DATABASE_URL"], terminal(as_json=json), as_json=json)
