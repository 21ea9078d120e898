"""The names under which Prefect knows our work pool and our deployments; the prefect.yaml that we ship has the same."""

from typing import Final

from tasks.settings import SYNC_CHILD, SYNC_CHILDREN, SYNC_ENTITY, SYNC_ORGANIZATION

WORK_POOL: Final = "pco-sync"
WORK_POOL_TYPE: Final = "warm"
REPLAY_CHILDREN: Final = "replay-children/pco-sync"
REPLAY_QUARANTINE: Final = "replay-quarantine/pco-sync"
VERIFY_ENTITY: Final = "verify-entity/pco-sync"
RECOVER_SYNCS: Final = "recover-syncs/pco-sync"
SYNC_ORGANIZATIONS: Final = "sync-organizations/pco-sync"
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
)
