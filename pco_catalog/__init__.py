"""What Planning Center has: every product, resource, attribute, path and filter, as data."""

from pco_catalog.catalog import Attribute, Catalog, Entity, Relationship, UnknownEntity, load_catalog

__all__ = ["Attribute", "Catalog", "Entity", "Relationship", "UnknownEntity", "load_catalog"]
