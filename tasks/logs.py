"""The logger of what is going on: the run's own, or the process's where there is none (the recovery in a worker)."""

import logging
from typing import Any

from prefect.exceptions import MissingContextError
from prefect.logging import get_logger, get_run_logger


def sync_logger() -> "logging.Logger | logging.LoggerAdapter[Any]":
    """Where to write counts and ids; never tokens or personal values."""
    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("pco_sync")
