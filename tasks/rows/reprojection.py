"""What of a stored row's `extra` can stand in its columns by now: pure, by the rules of `tasks.rows.transform`.

A column may have come later than the value (a migration), or the converter that takes it. A row is written again only
when its content changes, so what is stored has to be looked at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pco_catalog.catalog import Entity
from pco_client.documents import Json
from tasks.rows.transform import (
    RELATIONSHIPS,
    MisfitError,
    column_value,
    place_relationships,
    restore_json,
    storable_json,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reprojection:
    """What is to be done to a row: `values` for its columns, and for `extra` keys to drop, then `put` to add.

    `put` is a JSON object as text. `moved` counts attributes and relationships that leave `extra` or fill a column,
    `misfits` the attributes that have a column, and still cannot stand there.
    """

    values: Mapping[str, object]
    dropped: tuple[str, ...]
    put: str
    moved: int
    misfits: int


def to_one_columns(entity: Entity) -> dict[str, str]:
    """The columns of the relationships to one record, by the relationships' names."""
    return {name: f"{name}_id" for name, one in entity.relationships.items() if not one.many}


def reproject(entity: Entity, stored: Mapping[str, object], extra: Mapping[str, Json]) -> Reprojection:
    """Look at one row: its columns as they are stored, and its `extra`.

    A column that holds another value already stays, and what `extra` says beside it.
    """
    values: dict[str, object] = {}
    dropped: list[str] = []
    misfits = 0
    for name in entity.attributes:
        if name not in extra:
            continue
        try:
            value = column_value(entity, name, restore_json(extra[name]))
        except MisfitError:
            misfits += 1
            continue
        if value is not None and stored[name] not in (None, value):
            misfits += 1
            continue
        dropped.append(name)
        if value is not None:
            values[name] = value
    moved = len(dropped)
    put = "{}"
    kept = restore_json(extra.get(RELATIONSHIPS, {}))
    if isinstance(kept, dict) and kept:
        columns = to_one_columns(entity)
        row = {column: values.get(column, stored[column]) for column in columns.values()}
        before = dict(row)
        left = place_relationships(kept, entity=entity, row=row)
        filled = {column: value for column, value in row.items() if value != before[column]}
        values |= filled
        moved += sum(name not in left or columns.get(name) in filled for name in kept)
        if left != kept:
            if left:
                put = f'{{"{RELATIONSHIPS}": {storable_json(left)}}}'
            else:
                dropped.append(RELATIONSHIPS)
    return Reprojection(values=values, dropped=tuple(dropped), put=put, moved=moved, misfits=misfits)
