"""Prometheus' text format of a reading: four series for each church, and a handful for all of them."""

from collections.abc import Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tasks.metrics.readings import Reading


def exposition(reading: Reading, now: datetime) -> bytes:
    """The document. An age that nobody knows has no sample."""
    registry = CollectorRegistry()
    registry.register(_Measured(reading, now))
    return generate_latest(registry)


class _Measured(Collector):
    def __init__(self, reading: Reading, now: datetime) -> None:
        self._reading = reading
        self._now = now

    def collect(self) -> Iterator[GaugeMetricFamily]:
        current = _of_churches("is_current", "Whether all that is read of the church is current: 1 or 0.")
        overdue = _of_churches("overdue_kinds", "Kinds of records that are overdue by their rule.")
        complete = _of_churches(
            "complete_age_seconds", "Seconds since the oldest complete reading of a list; no sample if one was never."
        )
        changes = _of_churches(
            "changes_age_seconds", "Seconds since changes of each list were last seen, of the oldest; as above."
        )
        for one in self._reading.churches:
            current.add_metric([one.org_id], one.freshness == "current")
            overdue.add_metric([one.org_id], one.overdue)
            for family, at in ((complete, one.complete_as_of), (changes, one.changes_seen_until)):
                if at is not None:
                    family.add_metric([one.org_id], (self._now - at).total_seconds())
        yield from (current, overdue, complete, changes)

        runs = GaugeMetricFamily("pco_sync_runs", "Runs that the ledger holds in this state.", labels=["state"])
        for state, number in self._reading.totals.runs.items():
            runs.add_metric([state], number)
        yield runs
        yield GaugeMetricFamily(
            "pco_sync_quarantine_open",
            "Records and places in quarantine that are not resolved.",
            value=self._reading.totals.quarantined,
        )


def _of_churches(name: str, meaning: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"pco_sync_church_{name}", meaning, labels=["org_id"])
