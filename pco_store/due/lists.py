"""Makes the rows of `sync.lists` agree with the parents in the mirror: which lists there are, and when each is due.

A list is due once in the period of its kind, at a time of its own within the period: so what one full sync has read in
an hour becomes due over two weeks, none later than a period after it was read, and from then on in equal steps. A hot
window, or a change of the parent that was seen after the last reading, makes it due earlier. A day of a hot window that
was missed is made up for by the next one, so that hot lists in a small budget do not keep the rest from being read. A
list whose parent is gone is due once more, unless it was read since; and any list that no longer shows what nobody has
decided about (`readings.keep_due`). One that nobody has read is due at once if a full sync wants it, and else at its
place within the first period.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.ancestors import ids_in
from pco_catalog.catalog import Entity, load_catalog
from pco_catalog.chains import Chain, Level
from pco_catalog.due_lists import DAY_SECONDS, DueRule, load_due_rules
from pco_store.mirror.links import name_of_list
from pco_store.mirror.tables import mirror_table, quoted_name


@dataclass(frozen=True, kw_only=True, slots=True)
class DueKind:
    """The lists of one path, and their rule."""

    level: Level
    rule: DueRule

    @property
    def entity(self) -> Entity:
        """What the lists hold."""
        return self.level.entity

    @property
    def path(self) -> str:
        """Their path, with the names of ids in braces."""
        return self.level.path


def due_kind(level: Level) -> DueKind:
    """The lists of a level with the rule of their entity."""
    return DueKind(level=level, rule=load_due_rules().of(level.entity))


def due_kind_of(chain: Chain) -> DueKind:
    """The lists at the end of a chain: those above it are kinds of their own."""
    return due_kind(chain.levels[-1])


async def refresh_lists(connection: AsyncConnection, org_id: str, kind: DueKind, now: datetime | None = None) -> int:
    """Insert what is new, forget what is over, and set when each list is due; how many rows that wrote.

    Safe to repeat: what has not changed is not written. `now` is the database's, if it is left out.
    """
    hot = kind.rule.hot if kind.rule.hot is not None and kind.rule.hot.at in mirror_table(kind.level.parent).c else None
    result = await connection.execute(
        text(_statement(kind)),
        {
            "org_id": org_id,
            "entity": kind.entity.name,
            "path": kind.path,
            "now": now,
            "period": kind.rule.period_seconds,
            "day": DAY_SECONDS,
            "days": [] if hot is None else list(hot.days),
            "paces": [] if hot is None else list(hot.paces(kind.rule.period_seconds)),
        },
    )
    return int(result.scalar_one())


@lru_cache(maxsize=256)
def _statement(kind: DueKind) -> str:
    return f"""
        WITH moment AS (SELECT coalesce(CAST(:now AS timestamptz), now()) AS now),
        parent AS MATERIALIZED ({parents_of(kind)}),
        state AS MATERIALIZED (
            SELECT scope, parent.is_wanted, parent.version, parent.anchor, known.last_read_at, known.due_at,
                known.pace_seconds, known.parent_seen, known.changed_at AS known_change,
                known.path IS NOT NULL AS is_known,
                CASE WHEN known.parent_seen <> parent.version OR (known.parent_seen IS NULL AND known.path IS NOT NULL
                         AND (NOT parent.is_open OR parent.written_at > known.last_read_at))
                    THEN moment.now ELSE known.changed_at END AS changed_at,
                parent.version IS NULL OR (NOT parent.is_open AND (known.path IS NULL OR coalesce(
                    coalesce(known.parent_seen = parent.version, true) AND known.last_read_at >= coalesce(greatest(
                        CASE WHEN known.parent_seen IS NULL THEN parent.closed_at END, known.changed_at), '-infinity'),
                    false))) AS is_over
            FROM moment, parent
            FULL JOIN (SELECT * FROM sync.lists WHERE org_id = :org_id AND path = :path) AS known USING (scope)),
        forgotten AS (
            DELETE FROM sync.lists AS list USING state
            WHERE list.org_id = :org_id AND list.path = :path AND list.scope = state.scope AND is_over
            RETURNING list.scope),
        timed AS (
            SELECT state.*, hot.at AS hot_at, hot.pace AS hot_pace,
                CASE WHEN changed_at > last_read_at THEN changed_at END AS change_at,
                to_timestamp(period.read + :period - mod(mod(period.read - mod(
                    hashtextextended(CAST(:org_id AS text) || :path || scope, 0), :period), :period) + :period,
                    :period)) AS turn_at
            FROM moment CROSS JOIN state
            CROSS JOIN LATERAL (SELECT extract(epoch FROM coalesce(last_read_at, now))::bigint AS read) AS period
            LEFT JOIN LATERAL (
                SELECT anchor + make_interval(days => day) AS at, pace
                FROM unnest(CAST(:days AS integer[]), CAST(:paces AS integer[])) AS window_day (day, pace)
                WHERE anchor + make_interval(days => day) > last_read_at
                ORDER BY greatest(anchor + make_interval(days => day), now),
                    anchor + make_interval(days => day) DESC LIMIT 1) AS hot ON true
            WHERE NOT is_over),
        due AS (
            SELECT timed.*, CASE
                    WHEN last_read_at IS NULL AND is_wanted THEN least(due_at, moment.now)
                    WHEN last_read_at IS NULL THEN coalesce(due_at, turn_at)
                    ELSE least(turn_at, hot_at, change_at) END AS due,
                CASE
                    WHEN last_read_at IS NULL THEN
                        CASE WHEN moment.now BETWEEN
                            anchor + make_interval(days => (SELECT min(day) FROM unnest(CAST(:days AS integer[])) day))
                            AND anchor + make_interval(
                                days => (SELECT max(day) FROM unnest(CAST(:days AS integer[])) AS day))
                        THEN :day ELSE :period END
                    WHEN change_at <= least(turn_at, hot_at) THEN :day
                    WHEN hot_at <= turn_at THEN hot_pace
                    ELSE :period END AS pace
            FROM timed, moment),
        written AS (
            INSERT INTO sync.lists AS list (org_id, entity, path, scope, due_at, pace_seconds, parent_seen, changed_at)
            SELECT :org_id, :entity, :path, scope, due, pace, version, changed_at FROM due
            WHERE NOT is_known OR (due, pace, version, changed_at)
                IS DISTINCT FROM (due_at, pace_seconds, parent_seen, known_change)
            ORDER BY scope
            ON CONFLICT (org_id, path, scope) DO UPDATE
            SET due_at = excluded.due_at, pace_seconds = excluded.pace_seconds, parent_seen = excluded.parent_seen,
                changed_at = excluded.changed_at
            RETURNING scope)
        SELECT (SELECT count(*) FROM written) + (SELECT count(*) FROM forgotten)
        """  # noqa: S608 - names from the catalogue


def parents_of(kind: DueKind) -> str:
    """A query of the parents as the mirror knows them, with `org_id` and a table `moment` with the time `now`.

    Its columns: scope, whether there can be a list, whether a full sync wants it, the time of hot windows, the version,
    when the parent was found to be deleted, and when its row was written.
    Their ids are columns of their rows; those of parents that many share are in their links.
    """
    parent, rule = kind.level.parent, kind.rule
    table = mirror_table(parent)
    above = ids_in(kind.path)[:-1]
    is_open = "parent._deleted_at IS NULL"
    if rule.only is not None:
        is_open += f' AND parent."{rule.only}" IS TRUE'
    if rule.only_after is not None:
        is_open += f' AND coalesce(parent."{rule.only_after}" <= moment.now, true)'
    anchor = f'parent."{rule.hot.at}"' if rule.hot is not None and rule.hot.at in table.c else "NULL::timestamptz"
    watched = "".join(f", {_watched(parent, name)}" for name in rule.watch)
    version = f"hashtextextended(concat_ws('|', {is_open}{watched}), 0)"
    is_wanted = f"NOT ({is_open}) OR {_is_wanted(rule, anchor)}"
    columns = f"{is_open} AS is_open, {is_wanted} AS is_wanted, {anchor} AS anchor, {version} AS version"
    columns += ", parent._deleted_at AS closed_at, parent._synced_at AS written_at"
    if set(above) <= set(table.c.keys()):
        known = "".join(f' AND parent."{name}" IS NOT NULL' for name in above)
        scope = " || '/' || ".join([*(f'parent."{name}"' for name in above), "parent.id"])
        return (
            f"SELECT {scope} AS scope, {columns} FROM moment, {quoted_name(table)} AS parent "  # noqa: S608 - from the catalogue
            f"WHERE parent.org_id = :org_id{known}"
        )
    upper, name = name_of_list(kind.path[: kind.path.rindex("/{")])
    return (
        f"SELECT link.scope || '/' || parent.id AS scope, {columns} FROM moment, {quoted_name(table)} AS parent "  # noqa: S608
        "JOIN sync.links AS link ON link.org_id = parent.org_id AND link.id = parent.id "
        f"AND link.entity = '{parent.name}' AND link.parent = '{upper}' AND link.list = '{name}' "
        "AND link.unlisted_at IS NULL WHERE parent.org_id = :org_id"
    )


def _is_wanted(rule: DueRule, anchor: str) -> str:
    if rule.named_by:
        named = (
            f'SELECT "{column}" FROM {quoted_name(mirror_table(load_catalog().entity(name)))} '  # noqa: S608 - from the catalogue
            f'WHERE org_id = :org_id AND _deleted_at IS NULL AND "{column}" IS NOT NULL'
            for name, column in rule.named_by
        )
        return f"parent.id IN ({' UNION ALL '.join(named)})"
    if rule.is_rare:
        return "false"
    if rule.hot is None or rule.hot.full is None:
        return "true"
    first, last = (f"make_interval(days => {day})" for day in rule.hot.full)
    return f"coalesce(moment.now BETWEEN {anchor} + {first} AND {anchor} + {last}, true)"


async def count_unnamed(connection: AsyncConnection, org_id: str, kind: DueKind) -> int:
    """Live parents whose list cannot be named, because their rows do not know an ancestor that stands in its path."""
    table = mirror_table(kind.level.parent)
    above = [name for name in ids_in(kind.path)[:-1] if name in table.c]
    if not above:
        return 0
    unknown = " OR ".join(f'"{name}" IS NULL' for name in above)
    counted = await connection.scalar(
        text(
            f"SELECT count(*) FROM {quoted_name(table)} "  # noqa: S608 - names from the catalogue
            f"WHERE org_id = :org_id AND _deleted_at IS NULL AND ({unknown})"
        ),
        {"org_id": org_id},
    )
    return int(counted or 0)


def _watched(parent: Entity, name: str) -> str:
    """The text of what is watched; of records that many name, the ids in one order. Nothing where it is not known."""
    if name in mirror_table(parent).c:
        return f"coalesce(parent.\"{name}\"::text, '')"
    if name not in parent.relationships:
        return "''"
    data = f"parent.extra #> '{{_relationships,{name},data}}'"
    return (
        f"coalesce((SELECT string_agg(one ->> 'id', ',' ORDER BY one ->> 'id') FROM jsonb_array_elements("  # noqa: S608
        f"CASE jsonb_typeof({data}) WHEN 'array' THEN {data} ELSE '[]' END) AS one), '')"
    )


def list_values(kind: DueKind, **more: Any) -> dict[str, Any]:
    """The arguments that name the lists of a kind."""
    return {"entity": kind.entity.name, "path": kind.path, "period": kind.rule.period_seconds, **more}
