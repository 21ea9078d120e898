"""What PCO said that the catalogue did not expect, told in the log once for a flow run."""

from pco_catalog.catalog import Entity
from tasks.logs import sync_logger
from tasks.pages.evidence import Drift


def tell_drift(drift: Drift, entity: Entity) -> None:
    """Warn about what wants a change of the catalogue that somebody has looked at; nothing of it is lost."""
    if drift.unknown_attributes:
        names = tuple(sorted(drift.unknown_attributes))
        sync_logger().warning("attributes the catalogue does not know, kept in extra: %s", names)
    if drift.processed_as_version is not None:
        sync_logger().warning(
            "PCO processed %s as of version %s, asked was %s, the pinned one: the catalogue is due for a review",
            entity.product,
            drift.processed_as_version,
            entity.api_version,
        )
    if drift.unnamed:
        sync_logger().warning(
            "%d records of %s do not name an ancestor that was included for that, so their rows do not know it",
            drift.unnamed,
            entity.name,
        )
    if drift.included_ignored:
        sync_logger().warning("%d included records, which were not asked for, are ignored", drift.included_ignored)
