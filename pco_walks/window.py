"""The window of a walk: which part of a collection it reads, written as PCO's `where[...]` filters. Pure."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from pco_catalog.catalog import Entity
from pco_catalog.changes import can_be_ranged, delta_attribute
from pco_client.sansio import Where

Mode = Literal["full", "delta"]

ONE_SECOND = timedelta(seconds=1)
"""PCO's times are exact to the second."""

SKEW = timedelta(seconds=4)
"""So long before now a window ends: by PCO's clock that time is over, even if it is a few seconds behind ours."""

LOOKBACK = timedelta(minutes=10)
"""How far before the watermark a delta reads again: PCO's read replicas lag, and long transactions commit late."""


class ModeNotPossibleError(Exception):
    """PCO does not offer what this mode needs for this entity."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Records whose `attribute` is at or after `since`, at or before `until`, and `before` a time; and in `also`.

    No attribute means the whole collection, open at the end; then `since` says how far back a walk has to go that
    begins with the newest record.
    """

    attribute: str | None
    since: datetime | None
    until: datetime | None
    before: datetime | None = None
    also: "Window | None" = None

    @property
    def is_bounded(self) -> bool:
        """No record can enter the window while it is read."""
        return self.attribute is not None and (self.until is not None or self.before is not None)

    @property
    def is_all_until(self) -> bool:
        """Everything up to a time: what it leaves out of the list must be newer, else its filter hides something."""
        return self.is_bounded and self.since is None and self.before is None and self.also is None

    @property
    def is_newest_first(self) -> bool:
        """It cannot be asked for; it is read from the newest record down to `since`."""
        return self.attribute is None and self.since is not None

    @property
    def order(self) -> str | None:
        """What to order by; None for ids, PCO's default, in which a record never changes its place while it lives."""
        return "-updated_at" if self.is_newest_first else None

    @property
    def remembers_records(self) -> bool:
        """Its pages are compared by the records that they have shown."""
        return self.is_newest_first or self.is_all_until

    @property
    def attributes(self) -> frozenset[str]:
        """What PCO has to be able to filter by."""
        own = frozenset(() if self.attribute is None else (self.attribute,))
        return own | (self.also.attributes if self.also else frozenset())

    def holds(self, row: Mapping[str, object]) -> bool:
        """Whether a row may be an answer to `where()`; a row without the time says nothing against it."""
        if self.also is not None and not self.also.holds(row):
            return False
        at = row.get(self.attribute) if self.attribute is not None else None
        if not isinstance(at, datetime):
            return True
        last = [bound for bound in (self.until, self.before) if bound is not None]
        return (self.since is None or self.since <= at + ONE_SECOND) and all(at - ONE_SECOND <= one for one in last)

    def where(self) -> tuple[Where, ...]:
        """The filters that ask for this window; times in UTC with `Z`, because PCO ignored offsets (#713)."""
        if self.attribute is None:
            return ()
        bounds = (("gte", self.since), ("lt", self.before), ("lte", self.until))
        own = tuple(
            Where(attribute=self.attribute, operator=operator, value=_pco_time(bound))
            for operator, bound in bounds
            if bound is not None
        )
        return own + (self.also.where() if self.also else ())

    def where_newer(self) -> tuple[Where, ...]:
        """The filter that asks for what is behind the end of a window of everything until a time."""
        assert self.attribute is not None, "a filter needs an attribute"
        assert self.until is not None, "only a window with an end has something behind it"
        return (Where(attribute=self.attribute, operator="gt", value=_pco_time(self.until)),)


WHOLE = Window(attribute=None, since=None, until=None)
"""All that the list shows."""


def choose_window(
    entity: Entity,
    *,
    mode: Mode,
    until: datetime,
    watermark: datetime | None,
    distrusted: Set[tuple[str, str]] = frozenset(),
) -> Window:
    """The window that `mode` reads of `entity`, from what the catalogue says PCO can filter.

    full: everything created until now, so that nothing enters while it is read; without such a filter, everything.
    delta: everything changed since the watermark, less the lookback; by filter, or from the newest record on where PCO
    can only order by the time. `distrusted` are the filters, orders and counts (`total_count`) to which PCO was seen
    not to keep, each with its list: another window is chosen where one does without. Raises `ModeNotPossibleError`.
    """
    until = last_closed_second(until - SKEW)

    def is_kept(*names: str) -> bool:
        return distrusted.isdisjoint((entity.name, name) for name in names)

    if mode == "full":
        is_windowed = can_be_ranged(entity, "created_at") and is_kept("where[created_at]", "total_count")
        return Window(attribute="created_at" if is_windowed else None, since=None, until=until)
    attribute = delta_attribute(entity)
    if attribute is None:
        raise ModeNotPossibleError(
            f"mode 'delta': PCO can neither filter {entity.name} by a time of change nor order by it; "
            "use mode 'full' for it"
        )
    if watermark is None:
        raise ModeNotPossibleError(
            f"mode 'delta': {entity.name} has no watermark yet; let one sync with mode 'full' complete first"
        )
    is_ordered = "updated_at" in entity.can_order_by and is_kept("order=updated_at")
    is_asked_for = can_be_ranged(entity, attribute) and (is_kept(f"where[{attribute}]") or not is_ordered)
    return Window(attribute=attribute if is_asked_for else None, since=watermark - LOOKBACK, until=until)


def last_closed_second(now: datetime) -> datetime:
    """The end of a window that nothing can enter: PCO's times are exact to the second; this one goes on."""
    return now.astimezone(UTC).replace(microsecond=0) - ONE_SECOND


def _pco_time(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
