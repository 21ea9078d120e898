"""What `plan` announces for a large church: nothing of it is read, and its records exist only when asked for."""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from types import MappingProxyType

from rich.console import Console

from benchmarks.bench import ORG, PEOPLE, Bench
from benchmarks.figures import Goal
from deployments.operations.plan import make_plan, plan_table
from pco_simulator.testing import SimulatorProcess
from tasks.request_plan import Planned

TITLE = "400,000 donations, 500,000 check-ins, 9,000 households, 1,000 groups with 25 events: what plan announces"
GROUPS = 1000
SIZES = MappingProxyType(
    {
        "giving.Donation": 400_000,
        "check-ins.CheckIn": 500_000,
        "people.Household": 9_000,
        "groups.Membership": 15 * GROUPS,
        "groups.Event": 25 * GROUPS,
        "groups.Attendance": 25 * 15 * GROUPS,
    }
)
"""Four of the events of a group are to come. Of all else it has what follows from 20,000 people."""
MOST_IN_FULL = 50_000
MOST_IN_A_NIGHT = 13_500


def large_church() -> SimulatorProcess:
    """The church, to be entered."""
    return SimulatorProcess(people=PEOPLE, groups=GROUPS, sizes=SIZES, now=datetime.now(UTC))


def measure(bench: Bench) -> None:
    """The plans of a full sync and of a night, in the default selection."""
    with large_church() as simulator, bench.database() as database:
        os.environ |= {
            "PCO_SYNC_DATABASE_URL": database,
            "PCO_SYNC_ORG_ID": ORG,
            "PCO_SYNC_APPLICATION_ID": simulator.app_id,
            "PCO_SYNC_SECRET": simulator.secret,
            "PCO_SYNC_PCO_BASE_URL": simulator.base_url,
        }
        try:
            full = asyncio.run(make_plan(ORG, "full", [], [])).planned
            night = asyncio.run(make_plan(ORG, "rest", [], [])).planned
        finally:
            for name in ("PCO_SYNC_ORG_ID", "PCO_SYNC_APPLICATION_ID", "PCO_SYNC_SECRET", "PCO_SYNC_PCO_BASE_URL"):
                del os.environ[name]
    for what, planned, most in (("full", full, MOST_IN_FULL), ("a night", night, MOST_IN_A_NIGHT)):
        _show(planned, what)
        requests = sum(one.requests for one in planned)
        bench.record.figure("PLAN", f"{what}: requests announced", requests, "", Goal(at_most=most))


def _show(planned: Sequence[Planned], what: str) -> None:
    shown = [one for one in planned if one.requests > 1 or one.left]
    Console().print(plan_table(shown, f"{what}, where it takes more than a request"))
