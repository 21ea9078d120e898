"""The names under which Prefect knows our work pool and our deployments; prefect.yaml says the same."""

from typing import Final

WORK_POOL: Final = "pco-sync"
SYNC_ENTITY: Final = "sync-entity/pco-sync"
