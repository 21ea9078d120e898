"""What SQL has to know of the catalogue: the view `sync.kinds`, a row for each kind of record that is mirrored.

`way` says how a kind is kept current: `delta` (its list, by what has changed), `full` (its whole list), `owner` (with
its owners' pages), `below` (a list below each parent, by age). The rules say when it is overdue, unless somebody has
set others in `sync.freshness_rules`.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from pco_catalog.catalog import Catalog, Entity, load_catalog
from pco_catalog.chains import Chain, chain_to
from pco_catalog.changes import has_delta
from pco_catalog.due_lists import load_due_rules
from pco_store.ahead import make_unless_in_use
from pco_store.database import Database

DELTA_WITHIN: Final = "02:00:00"
"""Deltas are scheduled every 15 minutes; a long one of another kind may be ahead of them."""
FULL_WITHIN: Final = "2 days"
"""Lists that know no delta are read every night."""
COMPLETE_WITHIN: Final = "8 days"
"""The lists are read in full every Sunday."""
LATE_BY: Final = "2 days"
"""A list below a parent is read in the first night after it is due; a rare one gets what is left of the budget."""

COLUMNS: Final = (
    ("entity", "text"),
    ("table_name", "text"),
    ("way", "text"),
    ("owner", "text"),
    ("include", "text"),
    ("chains", "jsonb"),
    ("paths", "text[]"),
    ("every", "interval"),
    ("changes_within", "interval"),
    ("complete_within", "interval"),
    ("late_by", "interval"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A row of the view; `chains` are the parents below which it is read, `paths` those of the lists at their ends."""

    entity: str
    table_name: str
    way: str
    owner: str | None
    include: str | None
    chains: Sequence[Sequence[str]]
    paths: Sequence[str]
    every: str | None
    changes_within: str | None
    complete_within: str | None
    late_by: str | None


def all_kinds(catalog: Catalog) -> list[Kind]:
    """Every kind that is mirrored, by name."""
    return [_kind(catalog, entity) for entity in catalog.entities()]


def kinds_view(catalog: Catalog) -> str:
    """The statement that makes the view."""
    kinds = all_kinds(catalog)
    rows = ",\n".join(f"({', '.join(_literal(getattr(one, name), kind) for name, kind in COLUMNS)})" for one in kinds)
    names = ", ".join(f'"{name}"' for name, _ in COLUMNS)
    return f"CREATE OR REPLACE VIEW sync.kinds ({names}) WITH (security_invoker = true) AS VALUES\n{rows}"


async def publish_kinds(database: Database) -> None:
    """Bring the view to today's catalogue. Safe to repeat. Raises `StoreUnavailable` if it is in use all the time."""
    view = kinds_view(load_catalog())
    comment = f"The kinds of records that are mirrored, from the catalogue {_hash(view)}"

    def is_published(connection: Connection) -> bool:
        found = connection.scalar(text("SELECT obj_description('sync.kinds'::regclass, 'pg_class')"))
        return bool(found == comment)

    await make_unless_in_use(
        database,
        f"{view}; COMMENT ON VIEW sync.kinds IS '{comment}'; DELETE FROM sync.kept_churches",  # noqa: S608 - the catalogue
        is_published,
        trouble="sync.freshness is read all the time, so that it cannot be told of new kinds",
    )


def _hash(statement: str) -> str:
    return hashlib.sha256(statement.encode()).hexdigest()[:16]


def _kind(catalog: Catalog, entity: Entity) -> Kind:
    way = _way_of(entity)
    rule = load_due_rules().of(entity)
    chains = _chains_of(catalog, entity) if entity.list_path is None and entity.list_paths else []
    is_below = way == "below"
    every = f"{rule.every_days} days"
    return Kind(
        entity=entity.name,
        table_name=f"{entity.schema_name}.{entity.table_name}",
        way=way,
        owner=entity.sideload.owner if entity.sideload is not None else None,
        include=entity.sideload.include if entity.sideload is not None else None,
        chains=[chain.names for chain in chains],
        paths=[chain.levels[-1].path for chain in chains],
        every=every if chains else None,
        changes_within={"delta": DELTA_WITHIN, "full": FULL_WITHIN}.get(way),
        complete_within=None if is_below else COMPLETE_WITHIN,
        late_by=(every if rule.is_rare else LATE_BY) if chains else None,
    )


def _way_of(entity: Entity) -> str:
    if entity.list_path is not None:
        return "delta" if has_delta(entity) else "full"
    return "owner" if entity.sideload is not None else "below"


def _chains_of(catalog: Catalog, entity: Entity) -> list[Chain]:
    ways: Sequence[tuple[str, ...] | None] = load_due_rules().of(entity).ways or (None,)
    return [chain_to(catalog, entity, way) for way in ways]


def _literal(value: Any, kind: str) -> str:
    if value is None:
        return f"NULL::{kind}"
    if kind == "jsonb":
        return f"{_quoted(json.dumps(value))}::jsonb"
    if kind == "text[]":
        return f"ARRAY[{', '.join(map(_quoted, value))}]::text[]"
    return f"{_quoted(value)}::{kind}"


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
