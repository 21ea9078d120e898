"""The words for the mirror's tables and columns, made from the catalogue: it has no prose, so they say no more than it.

A column's words follow `pco_store.mirror.tables.mirror_table`: where two facts claim one name, the same one wins.
"""

from typing import Final

from pco_catalog.ancestors import columns_of, own_ids
from pco_catalog.catalog import Attribute, Catalog, Entity, Relationship

IDENTITY: Final = {
    "org_id": "The church, by its name in pco-sync. With id it is the primary key.",
    "id": "Planning Center's id of the record, as text.",
}
BOOKKEEPING: Final = {
    "extra": "Everything Planning Center sent that has no column, or that its column cannot hold; relationships "
    "to many, or to a record of another kind than documented, are below _relationships.",
    "_synced_at": "When the request was sent that showed this version of the record.",
    "_epoch": "The turn of the sync that wrote this version: epoch in sync.runs.",
    "_deleted_at": "Tombstone: when the record was found to be gone at Planning Center. NULL: it is there.",
    "_deleted_reason": "Why: absent, destroyed, with its owner, or merged into the id that follows. NULL: it is there.",
    "_content_hash": "Fingerprint of the content as Planning Center sent it, whatever the request asked for.",
}
UNKNOWN: Final = "NULL where no reading has shown it."


def mirror_comments(catalog: Catalog) -> dict[str, dict[str, str]]:
    """The words for every table of the mirror, as schema.table, by column; those for the table itself under ''."""
    return {
        f"{entity.schema_name}.{entity.table_name}": {"": _of_table(entity), **_of_columns(catalog, entity)}
        for entity in catalog.entities()
    }


def _of_table(entity: Entity) -> str:
    below = [path for path in entity.list_paths if path != entity.list_path]
    parts = [
        f"{entity.name} of Planning Center, API version {entity.api_version}.",
        f"Listed at {entity.list_path}." if entity.list_path else "",
        f"Listed below parents at {', '.join(below)}." if below else "",
        f"Comes with {entity.sideload.owner} by include={entity.sideload.include}." if entity.sideload else "",
        "A row per church and record; one that is gone keeps its row, with _deleted_at.",
    ]
    return " ".join(filter(None, parts))


def _of_columns(catalog: Catalog, entity: Entity) -> dict[str, str]:
    pointers = {f"{name}_id": (name, one) for name, one in entity.relationships.items() if not one.many}
    words = {name: _of_pointer(catalog, entity, *pointer) for name, pointer in pointers.items()}
    for name, attribute in entity.attributes.items():
        also = _target(catalog, entity, pointers[name][1]) if name in pointers else ""
        words[name] = f"{_of_attribute(attribute)} {also}".rstrip()
    ancestors = {name: _of_ancestor(entity, name) for name in columns_of(entity).ancestors}
    return {**ancestors, **words, **IDENTITY, **BOOKKEEPING}


def _of_attribute(attribute: Attribute) -> str:
    parts = [
        f"Attribute of type {attribute.type}.",
        f"Documented values: {', '.join(attribute.values)}; others are possible." if attribute.values else "",
        f"Sent only on request. {UNKNOWN}" if attribute.on_request else "",
    ]
    return " ".join(filter(None, parts))


def _of_pointer(catalog: Catalog, entity: Entity, name: str, relationship: Relationship) -> str:
    parts = [
        f"Relationship {name}.",
        _target(catalog, entity, relationship),
        "" if relationship.rendered else f"Not sent with the record: known from where it is listed. {UNKNOWN}",
        f"Sent only on request. {UNKNOWN}" if relationship.on_request else "",
    ]
    return " ".join(filter(None, parts))


def _target(catalog: Catalog, entity: Entity, relationship: Relationship) -> str:
    target = catalog.by_name.get(f"{entity.product}.{relationship.resource}")
    if target is None:
        return f"Documented as the id of a {relationship.resource}."
    if not target.is_mirrored:
        return f"Documented as the id of a {target.name}, which is not mirrored."
    return f"Documented as the id of a {target.name}, in {target.schema_name}.{target.table_name}."


def _of_ancestor(entity: Entity, name: str) -> str:
    paths = dict.fromkeys((*entity.list_paths, *([entity.sideload.path] if entity.sideload else ())))
    named = ", ".join(path for path in paths if name in own_ids(entity, path))
    return f"Ancestor: the id in {named}. {UNKNOWN}"
