"""Days that go by in a night of the test, however long that takes: what is to live for days lives so much shorter, or
grows so much older.
"""

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from embedded.services import MIRROR_DATABASE, PREFECT_DATABASE, Services
from pco_store.retention.lifetimes import Lifetimes

A_NIGHT: Final = timedelta(days=30)
"""So many days go by from one night to the next."""

_OLDER: Final = """
    UPDATE flow_run SET end_time = end_time - interval '{0:.3f} s';
    UPDATE events SET occurred = occurred - interval '{0:.3f} s';
    UPDATE event_resources SET occurred = occurred - interval '{0:.3f} s'
"""
"""What Prefect's server removes by."""


@dataclass
class Days:
    """Makes old what is not the ledger's, whose servers' lifetimes are those of every day."""

    services: Services
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    """The ledger's, in terms of the night before."""
    _since: float = field(default_factory=time.monotonic)

    def go_by(self) -> None:
        """What Prefect keeps is as much older as there were days since the last time."""
        now = time.monotonic()
        night, self._since = timedelta(seconds=now - self._since), now
        kept, factor = Lifetimes(), A_NIGHT / night
        self.lifetimes = Lifetimes(
            turns=kept.turns / factor,
            newest_turns=kept.newest_turns,
            proofs=kept.proofs / factor,
            resolved=kept.resolved / factor,
        )
        older = (A_NIGHT - night).total_seconds()
        self.services.postgres.psql(PREFECT_DATABASE, _OLDER.format(older))

    def lists_age(self) -> None:
        """Every list below a parent was read a day earlier, so that nights have what is due."""
        day = "interval '1 day'"
        self.services.postgres.psql(
            MIRROR_DATABASE,
            f"UPDATE sync.lists SET last_read_at = last_read_at - {day}, due_at = due_at - {day}, "
            f"changed_at = changed_at - {day}",
        )
