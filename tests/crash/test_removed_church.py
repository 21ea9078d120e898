"""A church is removed while its sync runs, or sleeps in the middle of it: nothing of it is written any more."""

from pathlib import Path

import pytest

from deployments.app import main
from deployments.exit_codes import DONE
from tests.church import PEOPLE, Church
from tests.crash.sync_process import UNHURRIED_MS, SyncProcess
from tests.stack import wait_until

PATIENCE_MS = 5000
"""How long each later page takes, so that the removal comes before the end of the sync."""
SETTINGS = {"PCO_SYNC_PAGE_SIZE": "6", "PCO_SYNC_PAGES_IN_FLIGHT": "4"}


@pytest.mark.usefixtures("restored_signals")
@pytest.mark.parametrize("sleeps", [False, True])
def test_a_sync_of_a_church_that_is_removed_ends_and_brings_nothing_back(
    church: Church, tmp_path: Path, sleeps: bool
) -> None:
    church.simulator.latency(UNHURRIED_MS)
    environment = {**church.environment(), **SETTINGS}
    with SyncProcess(environment, tmp_path, org_id="grace", entity=PEOPLE) as process:
        wait_until(lambda: len(church.committed()) >= 2, "two pages are committed")
        church.simulator.latency(PATIENCE_MS)
        if sleeps:
            process.pause()
        assert main(["churches", "remove", "grace", "--yes"]) == DONE
        if sleeps:
            process.resume()
        told = process.result()
    assert told["state"] == "Failed"
    assert "LeaseLost" in str(told) + process.told_so_far()
    assert church.rows() == []
    for table in ("runs", "pages", "watermarks", "quarantine", "links"):
        assert church.sql(f"SELECT * FROM sync.{table}") == [], table
