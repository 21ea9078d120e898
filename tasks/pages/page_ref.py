"""Which page of which sync: the identity of a page task."""

from dataclasses import dataclass
from typing import Final

PAGES: Final = "pco-sync/page/"
"""What the keys begin with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageRef:
    """Which page of which sync: all of a page task's identity, and nothing of its data.

    `token` is drawn by the ledger when the epoch opens, so a receipt cached for an epoch that was closed, or for a
    database that is gone, is never taken for this one's.
    """

    org_id: str
    entity: str
    scope: str
    epoch: str
    token: str
    offset: int
    size: int
    reading: int
    part: int = 0
    whole: bool = False
    """Without the filter of the part's window."""
    include: tuple[str, ...] = ()
    """What comes with it: the same on every page of a run, unless it was too much."""

    @property
    def place(self) -> tuple[int, int, int, int]:
        """Under which the ledger's pages of its run are known (`SyncContext.committed`)."""
        return (self.part, self.reading, self.offset, self.size)

    @property
    def title(self) -> str:
        """The task run's name in the UI."""
        again = f" reading={self.reading}" if self.reading > 1 else ""
        part = f" part={self.part}" if self.part else ""
        scope = f" scope={self.scope}" if self.scope else ""
        return f"{self.entity} org={self.org_id}{scope}{part} offset={self.offset}{again}"

    @property
    def cache_key(self) -> str:
        """Under which Prefect keeps the receipt."""
        return (
            f"{PAGES}{self.org_id}/{self.entity}/{self.scope}/{self.epoch}/{self.part}/"
            f"{self.offset}+{self.size}/{self.reading}/{self.token}"
            + ("/whole" if self.whole else "")
            + (f"/{','.join(self.include)}" if self.include else "")
        )
