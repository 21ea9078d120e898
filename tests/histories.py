"""How many generated histories a property is tried with: few in the suite, thousands at night (`make nightly`)."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, settings

MANY = "PCO_SYNC_TEST_HISTORIES"
"""The environment variable that says how many at least."""


def histories(few: int, *, suppress: Sequence[HealthCheck] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Try the property with `few` examples, or with as many as the environment says."""
    many = int(os.environ.get(MANY, "0"))
    return settings(max_examples=max(few, many), deadline=None, suppress_health_check=list(suppress))
