"""What comes with the records of a list is mirrored with them: one request, one transaction, the same guarantees."""

import pytest

from pco_simulator.testing import SimulatorProcess
from tests.church import Church

DONATIONS = "giving.Donation"
KINDS = ("giving.Designation", "giving.Refund", "giving.Note", "giving.DesignationRefund")


def test_donations_bring_what_belongs_to_them(church: Church, monkeypatch: pytest.MonkeyPatch) -> None:
    with SimulatorProcess(people=30, groups=0) as world:
        monkeypatch.setenv("PCO_SYNC_PCO_BASE_URL", world.base_url)
        giving = church.served_by(world)
        summary = giving.sync(DONATIONS)
        print(summary)
        print(summary.told)
        for kind in KINDS:
            print(kind, giving.differences(kind)[:3], len(giving.rows(kind)))
        raise AssertionError
