"""The ids of invented records."""

from typing import Final

FIRST_ID: Final = 99_999_001
"""Ids get one digit more on the way, at the 334th record: ordered as text they come out wrong."""

STEP: Final = 3
"""Ids have gaps, as real ones have."""


def record_id(number: int) -> int:
    """The id of the `number`th record of any entity, counted from 0."""
    return FIRST_ID + STEP * number


def number_of(identifier: int) -> int:
    """The number of the record that has an id, or of the one before it."""
    return (identifier - FIRST_ID) // STEP
