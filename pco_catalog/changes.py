"""By which time PCO can tell what has changed in a list at top level: what a delta goes by, if it can. Pure."""

from pco_catalog.catalog import Entity


def delta_attribute(entity: Entity) -> str | None:
    """By which time a delta finds what is new: that of the change, or of the creation for records that never change."""
    if can_be_ranged(entity, "updated_at") or "updated_at" in entity.can_order_by:
        return "updated_at"
    return "created_at" if entity.incremental == "where_created_at" and can_be_ranged(entity, "created_at") else None


def has_delta(entity: Entity) -> bool:
    """Whether its list at top level can be read by what has changed."""
    return entity.list_path is not None and delta_attribute(entity) is not None


def can_be_ranged(entity: Entity, attribute: str) -> bool:
    """Whether PCO takes `where[attribute][gte]` and its like for the list at top level."""
    return attribute in entity.can_query_by and attribute in entity.range_query_by
