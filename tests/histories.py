"""How many generated histories a property is tried with: few in the suite, thousands at night (`make nightly`)."""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import settings

MANY = "PCO_SYNC_TEST_HISTORIES"
"""The environment variable that says how many at least."""


def histories(few: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Try the property with `few` examples, or with as many as the environment says."""
    return settings(max_examples=max(few, int(os.environ.get(MANY, "0"))), deadline=None)
