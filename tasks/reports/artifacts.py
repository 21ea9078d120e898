"""Artifacts of flow runs, for people. Best effort: no run is worse for a table that was not written."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
from prefect.exceptions import PrefectHTTPStatusError

from tasks.logs import sync_logger


def artifact_key(kind: str, org_id: str, entity: str) -> str:
    """An artifact key as Prefect wants it: lower-case letters, digits and dashes."""
    return f"{kind}-{org_id}-{entity}".lower().replace(".", "-").replace("_", "-")


def as_table(numbers: Mapping[str, Any]) -> list[dict[str, str]]:
    """A summary as the rows of a table artifact."""
    return [{"what": name.replace("_", " "), "value": str(value)} for name, value in numbers.items()]


@contextmanager
def unless_refused(what: str) -> Iterator[None]:
    """What Prefect does not take in the block costs a line in the log."""
    try:
        yield
    except (httpx.HTTPError, PrefectHTTPStatusError, RuntimeError) as error:
        sync_logger().warning("%s was not written (%s)", what, type(error).__name__)
