"""A Prefect worker type, `warm`, that runs flows in its own long-lived process.

It knows Prefect only. Prefect finds it through the entry point group `prefect.collections`:
`prefect work-pool create --type warm` and `prefect worker start --pool …` need nothing else.
"""

from pco_worker.worker import WarmWorker

__all__ = ["WarmWorker"]
