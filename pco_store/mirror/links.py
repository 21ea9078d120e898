"""Which records stand in the lists of parents that share them: a tag in the lists of many groups.

A page brings its links in its own transaction, and writes only those that are new. What a complete reading of a list
did not show is marked as unlisted, and deleted once it is settled what became of the fan-out's missing records: until
then it says where to ask for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from pco_catalog.ancestors import ids_in, is_shared
from pco_catalog.catalog import Entity
from pco_store.mirror.upsert import fetch


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedList:
    """One list of records that stand in others of its kind, too: `tags` of the `group` in `scope`."""

    org_id: str
    entity: str
    parent: str
    list: str
    scope: str


def shared_list(entity: Entity, path: str, *, org_id: str, scope: str) -> SharedList | None:
    """The list at `path` below the parents in `scope`; None if its records are in no other list of that kind."""
    if not is_shared(entity, path):
        return None
    parent, name = name_of_list(path)
    return SharedList(org_id=org_id, entity=entity.name, parent=parent, list=name, scope=scope)


def name_of_list(path: str) -> tuple[str, str]:
    """What the links of a path's lists are called: whose last id it is, and the path's last word."""
    return ids_in(path)[-1].removesuffix("_id"), path[path.rindex("/") + 1 :]


def link_cte(first: int, *, condition: str = "true") -> str:
    """A common table expression that links the ids given as $`first` to the list given by the six arguments after it.

    Those are org_id, entity, parent, list, scope, and when the request was sent. Nothing is locked or written of what
    is linked already.
    """
    org_id, entity, parent, name, scope = (f"${first + place}::text" for place in range(1, 6))
    seen_at = f"${first + 6}::timestamptz"
    return f"""
        linked AS (
            INSERT INTO sync.links AS link (org_id, entity, parent, list, scope, id, seen_at)
            SELECT {org_id}, {entity}, {parent}, {name}, {scope}, shown.id, {seen_at}
            FROM (SELECT DISTINCT unnest(${first}::text[]) COLLATE "C" AS id) AS shown
            WHERE {condition} AND NOT EXISTS (
                SELECT FROM sync.links AS known
                WHERE known.org_id = {org_id} AND known.entity = {entity} AND known.parent = {parent}
                    AND known.list = {name} AND known.scope = {scope} AND known.id = shown.id
                    AND (known.unlisted_at IS NULL OR known.unlisted_at > {seen_at}))
            ORDER BY shown.id
            ON CONFLICT (org_id, entity, parent, list, scope, id) DO UPDATE
            SET seen_at = excluded.seen_at, unlisted_at = NULL
            WHERE link.unlisted_at <= excluded.seen_at
            RETURNING link.id)
        """  # noqa: S608 - own constants


def link_values(ids: Sequence[str], at: SharedList, seen_at: datetime) -> list[object]:
    """The arguments of `link_cte`."""
    return [list(ids), *_of_list(at), seen_at]


async def insert_links(connection: AsyncConnection, ids: Sequence[str], at: SharedList, seen_at: datetime) -> int:
    """Link these records to the list that shows them; how many links are new. Not the first statement (`fetch`)."""
    statement = f"WITH {link_cte(1)} SELECT count(*) AS linked FROM linked"  # noqa: S608 - own constants
    (counted,) = await fetch(connection, statement, *link_values(ids, at, seen_at))
    return int(counted["linked"])


def unlist_ctes(first: int, run_id: str, *, condition: str = "true") -> str:
    """Common table expressions that mark what stood in the list, and that a complete reading by `run_id` did not show.

    The arguments are those of `link_cte`, their ids what the run has shown beside its committed pages. What another run
    has read in that list since this one began, or what is in quarantine, stands there for all that we know.
    """
    org_id, entity, parent, name, scope = (f"${first + place}::text" for place in range(1, 6))
    of_list = (
        f"link.org_id = {org_id} AND link.entity = {entity} AND link.parent = {parent} AND link.list = {name} "
        f"AND link.scope = {scope}"
    )
    return f"""
        gone AS MATERIALIZED (
            SELECT link.id FROM sync.links AS link JOIN sync.runs AS run ON run.run_id = {run_id}
            WHERE {of_list} AND link.unlisted_at IS NULL AND link.seen_at < run.started_at AND {condition}
                AND link.id <> ALL (${first}::text[])
                AND NOT EXISTS (SELECT FROM sync.pages WHERE run_id = {run_id} AND link.id = ANY (ids))
                AND NOT EXISTS (SELECT FROM sync.quarantine
                                WHERE run_id = {run_id} AND coalesce(record_id, link.id) = link.id)
                AND NOT EXISTS (
                    SELECT FROM sync.runs AS other JOIN sync.pages AS page ON page.run_id = other.run_id
                    WHERE other.org_id = {org_id} AND other.entity = {entity} AND other.scope = {scope}
                        AND other.run_id <> {run_id} AND page.committed_at > run.started_at
                        AND link.id = ANY (page.ids))
            ORDER BY link.id COLLATE "C" FOR UPDATE OF link),
        unlisted AS (
            UPDATE sync.links AS link SET unlisted_at = now() FROM gone WHERE {of_list} AND link.id = gone.id
            RETURNING link.id)
        """  # noqa: S608 - own constants


async def unlist(connection: AsyncConnection, run_id: int, at: SharedList) -> int:
    """Mark what a run that has read all of the list did not show; how many were marked.

    In the transaction that completes the run, and not its first statement (`fetch`).
    """
    statement = f"WITH {unlist_ctes(1, '$7::bigint')} SELECT count(*) AS marked FROM unlisted"  # noqa: S608
    (counted,) = await fetch(connection, statement, [], *_of_list(at), run_id)
    return int(counted["marked"])


async def forget_unlisted(connection: AsyncConnection, org_id: str, entity: Entity, path: str) -> None:
    """Delete what was marked in the lists of one path: what became of the records is known."""
    parent, name = name_of_list(path)
    await connection.execute(
        text(
            "DELETE FROM sync.links WHERE org_id = :org_id AND entity = :entity AND parent = :parent "
            "AND list = :list AND unlisted_at IS NOT NULL"
        ),
        {"org_id": org_id, "entity": entity.name, "parent": parent, "list": name},
    )


def _of_list(at: SharedList) -> list[object]:
    return [at.org_id, at.entity, at.parent, at.list, at.scope]
