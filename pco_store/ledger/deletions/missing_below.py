"""What a complete fan-out did not list below any parent, and what was found out about it: once for each fan-out."""

import json
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.ancestors import is_shared, path_below
from pco_catalog.catalog import load_catalog
from pco_catalog.chains import Level, level_of_list
from pco_store.due.missing import forget_read_links, known_records, missing_from_read_lists
from pco_store.due.readings import keep_due
from pco_store.ledger.deletions.answers import Found
from pco_store.ledger.deletions.missing import read_owners
from pco_store.ledger.openings import DUE, handle_of
from pco_store.ledger.results import note_unshown
from pco_store.ledger.runs import RunHandle
from pco_store.mirror.counts import count_live
from pco_store.mirror.links import forget_unlisted, name_of_list
from pco_store.mirror.owners import scope_of
from pco_store.mirror.tables import mirror_table, quoted_name
from pco_store.mirror.tombstones import mark_deleted

FIRST_WAIT_SECONDS: Final = 60.0
"""Before somebody else is asked to find out what was deleted; asking goes on where the last one came to."""


_UNSETTLED: Final = """
            WHERE root.fan_out IS NOT NULL AND root.state = 'completed'
              AND (root.deletions IS NULL OR root.deletions ->> 'verdict' = 'requested')
              AND (root.mode = 'due' OR NOT EXISTS (
                SELECT FROM sync.runs AS child
                WHERE child.parent_run_id = root.run_id AND child.state IN ('dead', 'cancelled')))
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingBelow:
    """What is in the mirror and was listed below no parent.

    `live` counts the mirror's rows without a tombstone; `witnesses` are records that were listed, with their scopes;
    `unread` counts the parents that could not be read.
    """

    ids: tuple[str, ...]
    live: int
    unread: int
    witnesses: tuple[tuple[str, str], ...]


async def unsettled_fan_outs(connection: AsyncConnection) -> list[RunHandle]:
    """Fan-outs that have completed lately, of whose missing records nobody has found out yet; claimed by the caller.

    They are given again if nothing was found out, after waits that double, for as long as a day; after that they are
    marked as given up, until somebody starts them again. Not while somebody is at it. One with
    dead or cancelled children is not complete.
    """
    await _give_up(connection)
    result = await connection.execute(
        text(
            f"""
            UPDATE sync.runs AS root
            SET deletions = coalesce(deletions, '{{}}') || '{{"verdict": "requested"}}', restarts = root.restarts + 1,
                not_before = now() + make_interval(secs => :first * power(2, least(root.restarts, 12)))
            {_UNSETTLED}
              AND coalesce(root.not_before <= now(), true)
              AND root.completed_at > now() - interval '1 day'
            RETURNING *
            """  # noqa: S608 - own constant
        ),
        {"first": FIRST_WAIT_SECONDS},
    )
    return [handle_of(row) for row in result]


async def _give_up(connection: AsyncConnection) -> None:
    """Prefect shows them as spreading, and they are so no longer. What stood below parents that are gone is left to the
    next fan-out that reads what is due: their lists would be in none.
    """
    catalog = load_catalog()
    result = await connection.execute(
        text(
            f"""
            UPDATE sync.runs AS root
            SET deletions = coalesce(deletions, '{{}}') || '{{"verdict": "requested", "given_up": true}}'
            {_UNSETTLED}
              AND root.deletions ->> 'given_up' IS NULL AND root.completed_at <= now() - interval '1 day'
            RETURNING *
            """  # noqa: S608 - own constant
        )
    )
    for root in map(handle_of, result.all()):
        await note_unshown(connection, root.run_id)
        entity = catalog.by_name.get(root.entity)
        if root.mode != DUE or root.fan_out is None or entity is None:
            continue
        if (level := level_of_list(catalog, entity, below=root.fan_out.below)) is not None:
            await keep_due(connection, root.run_id, level, None, only_gone=True)


async def settled_deletions(connection: AsyncConnection, root_id: int) -> Mapping[str, Any] | None:
    """What was found out about a fan-out's missing records; None as long as nobody has."""
    told: Mapping[str, Any] | None = await connection.scalar(
        text("SELECT deletions FROM sync.runs WHERE run_id = :root_id AND deletions ->> 'verdict' <> 'requested'"),
        {"root_id": root_id},
    )
    return told


async def reserve_requests(connection: AsyncConnection, root_id: int, requests: int) -> None:
    """What finding out will cost at most counts as sent until it is known; nothing, if it was found out before."""
    await connection.execute(
        text(
            "UPDATE sync.runs SET deletions = CAST(:told AS jsonb) "
            "WHERE run_id = :root_id AND coalesce(deletions ->> 'verdict', 'requested') = 'requested'"
        ),
        {"root_id": root_id, "told": json.dumps({"verdict": "requested", "requests": requests})},
    )


async def is_complete(connection: AsyncConnection, root_id: int) -> bool:
    """Whether all parents were read, and all children are done; of what was due, whether those that could be are."""
    return bool(
        await connection.scalar(
            text(
                """
                SELECT state = 'completed' AND (mode = 'due' OR NOT EXISTS (
                    SELECT FROM sync.runs AS child
                    WHERE child.parent_run_id = :root_id AND child.state NOT IN ('completed', 'absent', 'forbidden')))
                FROM sync.runs WHERE run_id = :root_id
                """
            ),
            {"root_id": root_id},
        )
    )


async def find_missing_below(connection: AsyncConnection, root: RunHandle, level: Level) -> MissingBelow:
    """Compare the mirror with the ids on the pages of a complete fan-out's children.

    Rows that somebody wrote since it began are not missing, nor are records that it has put into quarantine. A child
    that is absent had no list, because its parent is gone. A fan-out that reads what is due knows of the lists that it
    has read, and of no others.
    """
    if root.mode == DUE:
        return await _find_missing_in_lists(connection, root, level)
    table = mirror_table(level.entity)
    name, living = quoted_name(table), "org_id = :org_id AND _deleted_at IS NULL"
    children = "SELECT run_id FROM sync.runs WHERE parent_run_id = :root_id AND entity = :entity"
    result = await connection.execute(
        text(
            f"""
            WITH child AS MATERIALIZED ({children}),
            missing AS (
                SELECT id FROM {name} WHERE {living} AND _synced_at < :began_at
                EXCEPT (SELECT unnest(ids) FROM sync.pages WHERE run_id IN (SELECT run_id FROM child)
                        UNION ALL SELECT record_id FROM sync.quarantine WHERE run_id IN (SELECT run_id FROM child)))
            SELECT (SELECT count(*) FROM {name} WHERE {living}) AS live,
                ARRAY(SELECT id FROM missing ORDER BY id) AS ids,
                (SELECT count(*) FROM sync.runs WHERE parent_run_id = :root_id AND state = 'forbidden') AS unread
            """  # noqa: S608 - names from the catalogue
        ),
        _values(root),
    )
    row = result.one()
    return MissingBelow(
        ids=tuple(row.ids), live=row.live, unread=row.unread, witnesses=await _witnesses(connection, root)
    )


async def _find_missing_in_lists(connection: AsyncConnection, root: RunHandle, level: Level) -> MissingBelow:
    ids = await missing_from_read_lists(connection, root.org_id, root.run_id, level, began_at=root.started_at)
    live = await count_live(connection, mirror_table(level.entity), root.org_id)
    witnesses = await _witnesses(connection, root)
    if ids and not witnesses:
        witnesses = await known_records(connection, root.org_id, level, besides=ids)
    return MissingBelow(ids=ids, live=live, unread=0, witnesses=witnesses)


async def _witnesses(connection: AsyncConnection, root: RunHandle) -> tuple[tuple[str, str], ...]:
    witnesses = await connection.execute(
        text(
            """
            SELECT run.scope, page.ids[1] AS id FROM sync.runs AS run JOIN sync.pages AS page USING (run_id)
            WHERE run.parent_run_id = :root_id AND run.entity = :entity AND cardinality(page.ids) > 0
            ORDER BY page.committed_at DESC LIMIT 3
            """
        ),
        _values(root),
    )
    return tuple((one.scope, one.id) for one in witnesses)


async def gone_with_parents(
    connection: AsyncConnection, root: RunHandle, level: Level, ids: Sequence[str]
) -> frozenset[str]:
    """Of these records, those whose parent is known to be deleted, and has just had no list; not if it was merged."""
    if level.is_shared:
        return frozenset()
    result = await connection.execute(
        text(
            f"""
            SELECT stored.id FROM {quoted_name(mirror_table(level.entity))} AS stored
            JOIN sync.runs AS child ON child.parent_run_id = :root_id AND child.entity = :entity
                AND child.state = 'absent' AND child.scope = {scope_of(level.path)}
            JOIN {quoted_name(mirror_table(level.parent))} AS parent ON parent.org_id = :org_id
                AND parent.id = substring(child.scope FROM '[^/]*$')
                AND parent._deleted_reason NOT LIKE 'merged into %'
            WHERE stored.org_id = :org_id AND stored.id = ANY(CAST(:ids AS text[]))
            """  # noqa: S608 - names from the catalogue
        ),
        {"root_id": root.run_id, "entity": root.entity, "org_id": root.org_id, "ids": list(ids)},
    )
    return frozenset(result.scalars())


async def former_lists(
    connection: AsyncConnection, root: RunHandle, level: Level, ids: Sequence[str]
) -> dict[str, list[list[str]]]:
    """In which lists these records stood, as far as the mirror knows, in two parts: the two times they are asked for.

    First where this fan-out would have listed them: below the parents in their rows. Then, if that parent's list was
    read, in the other lists that their rows name: the record may have moved to another parent meanwhile; and if that
    parent was merged into another one, below that. Where many parents share them it is both times below those of their
    links, in the lists that their rows name, and in the one at top level: they may be there and below no parent. A
    record of which no list is known is left out.
    """
    entity, table = level.entity, mirror_table(level.entity)
    own = [path for path in entity.list_paths if "{" in path and not is_shared(entity, path)]
    columns = ", ".join(scope_of(path) for path in own)
    rows = await connection.execute(
        text(
            f"SELECT id, ARRAY[{columns}]::text[] AS scopes FROM {quoted_name(table)} "  # noqa: S608 - from the catalogue
            "WHERE org_id = :org_id AND id = ANY(CAST(:ids AS text[]))"
        ),
        {"org_id": root.org_id, "ids": list(ids)},
    )
    stood = {
        row.id: {path: scope for path, scope in zip(own, row.scopes, strict=True) if scope is not None} for row in rows
    }
    linked = await _linked_scopes(connection, root, level, ids) if level.is_shared else {}
    read = await _read_scopes(
        connection, root, {scopes[level.path] for scopes in stood.values() if level.path in scopes}
    )
    kept = await _merged_into(
        connection, root.org_id, level, {scopes[level.path] for scopes in stood.values() if level.path in scopes}
    )
    found = {}
    for one, scopes in stood.items():
        others = [path_below(path, scope) for path, scope in scopes.items() if path != level.path]
        if level.is_shared:
            below = [*map(level.path_of, linked.get(one, [])), *others]
            first = then = [entity.list_path, *below] if below and entity.list_path else below
        elif level.path in scopes:
            first = [level.path_of(scopes[level.path])]
            then = others if others and scopes[level.path] in read else first
            if scopes[level.path] in kept:
                then = [level.path_of(kept[scopes[level.path]])]
        else:
            continue
        if first:
            found[one] = [first, then]
    return found


async def _read_scopes(connection: AsyncConnection, root: RunHandle, scopes: Set[str]) -> set[str]:
    """Of these parents, those whose lists a fan-out has read."""
    if not scopes:
        return set()
    read = await connection.execute(
        text(
            "SELECT scope FROM sync.runs WHERE parent_run_id = :root_id AND entity = :entity AND state = 'completed' "
            "AND scope = ANY(CAST(:scopes AS text[]))"
        ),
        {"root_id": root.run_id, "entity": root.entity, "scopes": sorted(scopes)},
    )
    return set(read.scalars())


async def _merged_into(connection: AsyncConnection, org_id: str, level: Level, scopes: Set[str]) -> dict[str, str]:
    """Of these parents, by the ids in their scopes, those that were merged into others; each with who is left of it."""
    table = quoted_name(mirror_table(level.parent))
    rows = await connection.execute(
        text(
            f"""
            WITH RECURSIVE merged (scope, id) AS (
                SELECT scope, substring(scope FROM '[^/]*$') FROM unnest(CAST(:scopes AS text[])) AS scope
                UNION SELECT merged.scope, substring(gone._deleted_reason FROM '^merged into (.*)$')
                FROM merged JOIN {table} AS gone ON gone.org_id = :org_id AND gone.id = merged.id
                WHERE gone._deleted_reason LIKE 'merged into %')
            SELECT merged.scope, merged.id FROM merged
            WHERE substring(merged.scope FROM '[^/]*$') <> merged.id AND NOT EXISTS (
                SELECT FROM {table} AS gone WHERE gone.org_id = :org_id AND gone.id = merged.id
                    AND gone._deleted_reason LIKE 'merged into %')
            """  # noqa: S608 - names from the catalogue
        ),
        {"org_id": org_id, "scopes": sorted(scopes)},
    )
    return {row.scope: row.scope[: row.scope.rfind("/") + 1] + row.id for row in rows}


async def _linked_scopes(
    connection: AsyncConnection, root: RunHandle, level: Level, ids: Sequence[str]
) -> dict[str, list[str]]:
    parent, name = name_of_list(level.path)
    links = await connection.execute(
        text(
            """
            SELECT id, array_agg(scope ORDER BY unlisted_at DESC NULLS FIRST, seen_at DESC) AS scopes FROM sync.links
            WHERE org_id = :org_id AND entity = :entity AND parent = :parent AND list = :list
                AND id = ANY(CAST(:ids AS text[]))
            GROUP BY id
            """
        ),
        {"org_id": root.org_id, "entity": root.entity, "parent": parent, "list": name, "ids": list(ids)},
    )
    return {row.id: row.scopes for row in links}


async def _scopes_of(connection: AsyncConnection, root: RunHandle, level: Level, ids: Sequence[str]) -> set[str]:
    """The parents in whose lists these records stood."""
    if level.is_shared:
        return {one for scopes in (await _linked_scopes(connection, root, level, ids)).values() for one in scopes}
    return set((await read_owners(connection, root.org_id, mirror_table(level.entity), level.path, ids)).values())


async def settle(
    connection: AsyncConnection,
    root: RunHandle,
    level: Level,
    *,
    verdict: str,
    missing: int,
    unplaced: int = 0,
    requests: int = 0,
    found: Sequence[Found] = (),
    undecided: Sequence[str] = (),
    kept_due: Collection[str] = (),
) -> int | None:
    """Give those that are gone their tombstones, and write down what was found out, once; how many got one.

    `unplaced` are missing, too, and nobody knows where they were listed; `requests` is what it cost to find out. What
    stood in no list is forgotten if all is decided. The lists in which the `undecided` records stood, and those in the
    scopes `kept_due`, stay due where only what is due is read: else their next reading would be the first to miss them
    again, and that of a parent that is gone would never come. None, and nothing is done, if children were added or
    revived meanwhile, or somebody else has settled it.
    """
    open_still = await connection.scalar(
        text(
            "SELECT state = 'completed' AND (deletions IS NULL OR deletions ->> 'verdict' = 'requested') "
            "FROM sync.runs WHERE run_id = :root_id FOR UPDATE"
        ),
        {"root_id": root.run_id},
    )
    if not open_still:
        return None
    deleted = 0
    table = mirror_table(level.entity)
    for reason, ids, at in found:
        deleted += await mark_deleted(connection, root.org_id, table, ids, reason=reason, absent_at=at)
    told = {"verdict": verdict, "missing": missing, "deleted": deleted}
    told |= {name: count for name, count in (("unplaced", unplaced), ("requests", requests)) if count}
    await connection.execute(
        text("UPDATE sync.runs SET deletions = CAST(:told AS jsonb) WHERE run_id = :root_id"),
        {"told": json.dumps(told), "root_id": root.run_id},
    )
    await note_unshown(connection, root.run_id)
    if root.mode == DUE:
        undecided_in = await _scopes_of(connection, root, level, undecided)
        # Where PCO never shows a record by its id nobody can decide; a list of it misses it again in its next turn.
        await keep_due(connection, root.run_id, level, undecided_in, only_gone=verdict == "not_provable")
        await keep_due(connection, root.run_id, level, kept_due)
        if level.is_shared:
            await forget_read_links(connection, root.org_id, root.run_id, level, besides=undecided)
    elif level.is_shared and verdict in ("none", "confirmed"):
        await forget_unlisted(connection, root.org_id, level.entity, level.path)
    return deleted


def _values(root: RunHandle) -> dict[str, object]:
    return {
        "root_id": root.run_id,
        "org_id": root.org_id,
        "entity": root.entity,
        "began_at": root.started_at,
    }
