"""Days that go by in half a second: what is to live for days lives so much shorter, or grows so much older."""

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from embedded.services import MIRROR_DATABASE, PREFECT_DATABASE, Services
from pco_store.retention.lifetimes import Lifetimes

FACTOR: Final = timedelta(days=1) / timedelta(seconds=0.5)

_OLDER: Final = """
    UPDATE flow_run SET end_time = end_time - interval '{0:.3f} s';
    UPDATE events SET occurred = occurred - interval '{0:.3f} s';
    UPDATE event_resources SET occurred = occurred - interval '{0:.3f} s'
"""
"""What Prefect's server removes by."""


def scaled_lifetimes() -> Lifetimes:
    """The ledger's, in these days."""
    kept = Lifetimes()
    return Lifetimes(
        turns=kept.turns / FACTOR,
        newest_turns=kept.newest_turns,
        proofs=kept.proofs / FACTOR,
        resolved=kept.resolved / FACTOR,
    )


@dataclass
class Days:
    """Makes old what is not the ledger's, whose servers' lifetimes are those of every day."""

    services: Services
    _since: float = field(default_factory=time.monotonic)

    def go_by(self) -> None:
        """What Prefect keeps is as much older as there were days since the last time."""
        now = time.monotonic()
        older, self._since = (now - self._since) * (FACTOR - 1), now
        self.services.postgres.psql(PREFECT_DATABASE, _OLDER.format(older))

    def lists_age(self) -> None:
        """Every list below a parent was read a day earlier, so that nights have what is due."""
        day = "interval '1 day'"
        self.services.postgres.psql(
            MIRROR_DATABASE,
            f"UPDATE sync.lists SET last_read_at = last_read_at - {day}, due_at = due_at - {day}, "
            f"changed_at = changed_at - {day}",
        )
