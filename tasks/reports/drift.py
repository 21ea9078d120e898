"""What PCO said that the catalogue did not expect, told in the log once for a flow run."""

from pco_catalog.catalog import Entity
from tasks.logs import sync_logger
from tasks.pages.sync_context import Counters


def tell_drift(counters: Counters, entity: Entity) -> None:
    """Warn about what wants a change of the catalogue that somebody has looked at; nothing of it is lost."""
    if counters.unknown_attributes:
        names = tuple(sorted(counters.unknown_attributes))
        sync_logger().warning("attributes the catalogue does not know, kept in extra: %s", names)
    if counters.processed_as_version is not None:
        sync_logger().warning(
            "PCO processed %s as of version %s, asked was %s, the pinned one: the catalogue is due for a review",
            entity.product,
            counters.processed_as_version,
            entity.api_version,
        )
    if counters.unnamed:
        sync_logger().warning(
            "%d records of %s do not name an ancestor that was included for that, so their rows do not know it",
            counters.unnamed,
            entity.name,
        )
    if counters.included_ignored:
        sync_logger().warning("%d included records, which were not asked for, are ignored", counters.included_ignored)
