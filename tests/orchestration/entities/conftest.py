"""A church of which donations and what comes with them are read."""

from collections.abc import Iterator

import pytest

from tests.church import Church
from tests.simulators import SimulatorProcess


@pytest.fixture
def giving(church: Church, monkeypatch: pytest.MonkeyPatch) -> Iterator[Church]:
    """A church with 90 donations in pages of 30, in a world of its own."""
    with SimulatorProcess(people=90, groups=0) as world:
        monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
        monkeypatch.setenv("PCO_SYNC_PAGE_SIZE", "30")
        monkeypatch.setenv("PCO_SYNC_RETRY_TOTAL_SECONDS", "1")
        yield church.served_by(world)
