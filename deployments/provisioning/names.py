"""The names under which Prefect knows our work pool and our deployments; the prefect.yaml that we ship has the same."""

from typing import Final

from tasks.deployment_runs import BACKGROUND, CHILDREN, DELTAS
from tasks.settings import SYNC_CHILD, SYNC_CHILDREN, SYNC_ENTITY, SYNC_ORGANIZATION

WORK_POOL: Final = "pco-sync"
WORK_POOL_TYPE: Final = "warm"
PERSONS: Final = "default"
QUEUES: Final = (PERSONS, DELTAS, BACKGROUND, CHILDREN)
"""The work queues of the pool, the first ones first. Prefect makes the first one with every pool."""
TAG: Final = "pco-sync"
"""What all our deployments have."""
FORMER_NAME: Final = "pco-sync"
"""What each of them was called once."""
REPLAY_CHILDREN: Final = "replay-children/replay-dead-children"
REPLAY_QUARANTINE: Final = "replay-quarantine/replay-quarantine"
VERIFY_ENTITY: Final = "verify-entity/verify-list"
RECOVER_SYNCS: Final = "recover-syncs/continue-dead-syncs"
REMOVE_OLD: Final = "remove-old/remove-what-is-over"
SYNC_ORGANIZATIONS: Final = "sync-organizations/sync-all-churches"
DEPLOYMENTS: Final = (
    SYNC_ENTITY,
    SYNC_CHILDREN,
    SYNC_CHILD,
    SYNC_ORGANIZATION,
    SYNC_ORGANIZATIONS,
    REPLAY_CHILDREN,
    REPLAY_QUARANTINE,
    VERIFY_ENTITY,
    RECOVER_SYNCS,
    REMOVE_OLD,
)
