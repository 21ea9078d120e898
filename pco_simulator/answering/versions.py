"""The API version that an answer is processed as: the newest one that is not after the date in the request."""

from bisect import bisect_right

from pco_catalog.catalog import load_catalog
from pco_simulator.answering.answers import OLDEST_VERSION


def processed_as(path: str, asked: bytes) -> bytes:
    """The version that the product at a path answers with; what was asked for, where no version is known."""
    known = load_catalog().versions.get(path.split("/")[1] if "/" in path else "", ())
    place = bisect_right(known, asked.decode("latin-1"))
    return known[place - 1].encode() if place else asked or OLDEST_VERSION
