"""The window of a walk: which part of a collection it reads, written as PCO's `where[...]` filters. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from pco_catalog.catalog import Entity
from pco_client.sansio import Where

Mode = Literal["full", "delta"]

ONE_SECOND = timedelta(seconds=1)
"""PCO's times are exact to the second."""

LOOKBACK = timedelta(minutes=10)
"""How far before the watermark a delta reads again: PCO's read replicas lag, and long transactions commit late."""


class WindowIgnoredError(Exception):
    """PCO answered 200 with records outside the window: it does not know the filter (any more)."""


class ModeNotPossibleError(Exception):
    """PCO does not offer what this mode needs for this entity."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Records whose `attribute` lies in [since, until]; no attribute means the whole collection, open at the end."""

    attribute: str | None
    since: datetime | None
    until: datetime | None

    @property
    def is_bounded(self) -> bool:
        """No record can enter the window while it is read."""
        return self.attribute is not None and self.until is not None

    def holds(self, row: Mapping[str, object]) -> bool:
        """Whether a row may be an answer to `where()`; a row without the time says nothing against it."""
        at = row.get(self.attribute) if self.attribute is not None else None
        if not isinstance(at, datetime):
            return True
        return (self.since is None or self.since <= at + ONE_SECOND) and (
            self.until is None or at - ONE_SECOND <= self.until
        )

    def where(self) -> tuple[Where, ...]:
        """The filters that ask for this window; times in UTC with `Z`, because PCO ignored offsets (#713)."""
        if self.attribute is None:
            return ()
        bounds = (("gte", self.since), ("lte", self.until))
        return tuple(
            Where(attribute=self.attribute, operator=operator, value=_pco_time(bound))
            for operator, bound in bounds
            if bound is not None
        )


def choose_window(entity: Entity, *, mode: Mode, until: datetime, watermark: datetime | None) -> Window:
    """The window that `mode` reads of `entity`, from what the catalogue says PCO can filter.

    full: everything created until now, so that nothing enters while it is read; without such a filter, everything.
    delta: everything changed since the watermark, less the lookback. Raises `ModeNotPossibleError`.
    """
    until = until.astimezone(UTC).replace(microsecond=0)
    if mode == "delta":
        if not {"updated_at"} <= (entity.can_query_by & entity.range_query_by):
            raise ModeNotPossibleError(
                f"mode 'delta': PCO cannot filter {entity.name} by updated_at; use mode 'full' for it"
            )
        if watermark is None:
            raise ModeNotPossibleError(
                f"mode 'delta': {entity.name} has no watermark yet; let one sync with mode 'full' complete first"
            )
        return Window(attribute="updated_at", since=watermark - LOOKBACK, until=until)
    if "created_at" in entity.can_query_by and "created_at" in entity.range_query_by:
        return Window(attribute="created_at", since=None, until=until)
    return Window(attribute=None, since=None, until=until)


def _pco_time(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
