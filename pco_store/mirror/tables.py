"""The mirrored tables, made from the catalogue: one schema per product, one table per resource."""

from functools import lru_cache
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, Date, DateTime, Double, Index, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, dialect
from sqlalchemy.types import TypeEngine
from sqlmodel import SQLModel

from pco_catalog.ancestors import columns_of
from pco_catalog.catalog import Entity, load_catalog
from pco_store.mirror.mirrored_row import bookkeeping_columns, identity_columns

COLUMN_TYPES: Final[dict[str, TypeEngine[Any]]] = {
    "string": Text(),
    "currency_abbreviation": Text(),
    "primary_key": Text(),
    "integer": BigInteger(),
    "float": Double(),
    "boolean": Boolean(),
    "date": Date(),
    "date_time": DateTime(timezone=True),
}
"""PCO's attribute types; every other one (array, hash, json, object) is jsonb."""

INDEXED: Final[dict[str, str]] = {
    "check-ins.CheckIn": "event_period_id",
    "giving.Designation": "donation_id",
    "groups.Attendance": "event_id",
    "groups.Membership": "group_id",
    "people.FieldDatum": "customizable_id",
    "people.HouseholdMembership": "household_id",
}
"""The parent that rows of large tables are looked up by: what the views ask of one group, person or event."""

metadata: MetaData = SQLModel.metadata

_QUOTE: Final = dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]


@lru_cache(maxsize=1024)
def mirror_table(entity: Entity) -> Table:
    """The table of an entity. There are no foreign keys between mirrored tables: data arrives out of order.

    Its `info` says which columns not every way of reading knows (`pco_catalog.ancestors.Columns`).
    """
    columns: dict[str, Column[object]] = {column.name: column for column in identity_columns()}
    for name, attribute in entity.attributes.items():
        columns.setdefault(name, Column(name, COLUMN_TYPES.get(attribute.type, JSONB)))
    for name, relationship in entity.relationships.items():
        if not relationship.many:
            columns.setdefault(f"{name}_id", Column(f"{name}_id", Text))
    partly_known = columns_of(entity)
    for name in partly_known.ancestors:
        columns.setdefault(name, Column(name, Text))
    for column in bookkeeping_columns():
        columns[column.name] = column
    indexed = INDEXED.get(entity.name)
    indexes = [Index(f"{entity.table_name}_{indexed}", "org_id", indexed)] if indexed else []
    info = {
        "told": partly_known.told,
        "pointers": partly_known.pointers,
        "to_one": tuple(name for name, one in entity.relationships.items() if not one.many),
    }
    return Table(entity.table_name, metadata, *columns.values(), *indexes, schema=entity.schema_name, info=info)


def all_mirror_tables() -> tuple[Table, ...]:
    """A table for every entity that PCO lists somewhere."""
    return tuple(mirror_table(entity) for entity in load_catalog().entities())


def quoted_name(table: Table) -> str:
    """The table, quoted for a statement."""
    return f"{_QUOTE(str(table.schema))}.{_QUOTE(table.name)}"
