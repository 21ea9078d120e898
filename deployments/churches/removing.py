"""`churches remove`: first what there is of a church, then, if that is wanted, its end."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis.asyncio
from prefect.client.orchestration import get_client
from rich.console import Console
from rich.table import Table

from deployments.churches.known import known_churches
from deployments.churches.prefect_side import (
    cancel_flow_runs,
    count_flow_runs,
    forget_church,
    own_schedules,
    retention,
    unended_flow_runs,
)
from deployments.ended import print_document
from deployments.exit_codes import DONE, INCOMPLETE
from deployments.operations.churches import UnknownChurchError, meant
from deployments.provisioning.provision import find_block
from deployments.terminal import print_plain
from pco_client.auth import PersonalAccessToken, user_identity
from pco_client.redis_address import redis_address
from pco_store.churches.readers import drop_readers, readers_of
from pco_store.churches.removal import begin_removal, church_views, count_church_rows, end_removal, remove_rows
from pco_store.churches.wall import removed_churches
from pco_store.connections.connections import connection_states
from pco_store.database import Database
from pco_store.schema_check import check_schema
from tasks.churches.forgetting import church_keys, forget_in_redis
from tasks.connections.revoking import in_words, revoke_and_forget
from tasks.credentials import church_blocks
from tasks.reports.events import tell_removed
from tasks.settings import SyncSettings, read_settings

PASSES = 5
"""Who was on the way while it was marked may still add a key or a row; more than that is somebody who goes on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """What there is of a church: rows by table, views, reader roles; keys in Redis; its block, schedules, flow runs."""

    rows: dict[str, int]
    views: Sequence[str]
    readers: Sequence[str]
    keys: int
    has_block: bool
    own_schedules: int
    running: int
    flow_runs: int
    retention: str


async def remove(org_id: str, console: Console, *, really: bool, as_json: bool) -> int:
    """Show it, or remove it and show what went; the exit code: incomplete if something stays.

    Safe to interrupt: the same command continues. Raises `UnknownChurchError`, and the errors of the store, Redis and
    Prefect.
    """
    settings = read_settings()
    database = Database(settings.database_url.get_secret_value(), pool_size=1)
    client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(redis_address(settings.redis_url.get_secret_value()))
    try:
        found = await _inventory(org_id, database, client, settings)
        if not really:
            return _show(org_id, found, console, as_json=as_json)
        began = time.monotonic()
        await begin_removal(database, org_id)
        async with get_client() as prefect:
            cancelled = await cancel_flow_runs(prefect, org_id)
        identities = await _identities(org_id, database, settings)
        keys = await forget_in_redis(client, org_id, identities)
        tokens = await revoke_and_forget(org_id, database, settings)
        await forget_church(org_id)
        tell_removed(org_id)
        await drop_readers(database, org_id)
        gone: Counter[str] = Counter()
        is_over = False
        for _ in range(PASSES):
            async for table, rows in remove_rows(database, org_id):
                gone[table] += rows
            keys += await forget_in_redis(client, org_id)
            if is_over := await end_removal(database, org_id):
                break
        told = {
            "rows": {name: rows for name, rows in gone.items() if rows},
            "views": list(found.views),
            "readers": list(found.readers),
            "keys": keys,
            "tokens": tokens,
            "cancelled_flow_runs": cancelled,
            "flow_runs_left_to_prefect": found.flow_runs,
            "prefect_deletes_them": found.retention,
            "seconds": round(time.monotonic() - began, 1),
        }
        return _report(org_id, told, settings, console, is_over=is_over, as_json=as_json)
    finally:
        await client.aclose()
        await database.aclose()


async def _inventory(org_id: str, database: Database, client: redis.asyncio.Redis, settings: SyncSettings) -> Inventory:
    identities = await _identities(org_id, database, settings)
    keys = sum([len(lot) async for lot in church_keys(client, org_id, identities)])
    async with database.transaction() as connection:
        await check_schema(connection)
        rows = await count_church_rows(connection, org_id)
        views = await church_views(connection, org_id)
        readers = await readers_of(connection, org_id)
        removed = await removed_churches(connection)
    block = await find_block(org_id)
    async with get_client() as prefect:
        found = Inventory(
            rows=rows,
            views=views,
            readers=readers,
            keys=keys,
            has_block=block is not None,
            own_schedules=len(await own_schedules(prefect, org_id)),
            running=len(await unended_flow_runs(prefect, org_id)),
            flow_runs=await count_flow_runs(prefect, org_id),
            retention=await retention(prefect),
        )
    if not (rows or views or keys or found.has_block or removed.get(org_id) is False):
        known = [one.org_id for one in await known_churches()]
        raise UnknownChurchError(f"there is nothing of a church {org_id!r}; {meant(org_id, known)}")
    return found


async def _identities(org_id: str, database: Database, settings: SyncSettings) -> set[str]:
    """The credentials that have a budget, and that no other church is read with."""
    async with database.transaction() as connection:
        states = await connection_states(connection)
    users = {one: user_identity(state.organization_id, state.sub) for one, state in states.items()}
    own = {users[org_id]} if org_id in users else set()
    tokens = await _tokens_of(org_id, settings)
    if tokens:
        others = {one for one, data in (await church_blocks()).items() if not data.get("oauth")}
        for other in {*others, settings.church_of_token or org_id} - {org_id}:
            tokens -= await _tokens_of(other, settings)
    return (own - {user for one, user in users.items() if one != org_id}) | tokens


async def _tokens_of(org_id: str, settings: SyncSettings) -> set[str]:
    found = set()
    if settings.org_id == org_id and settings.application_id and settings.secret:
        token = PersonalAccessToken(settings.application_id.get_secret_value(), settings.secret.get_secret_value())
        found.add(token.identity)
    block = await find_block(org_id)
    if block is not None and not block.oauth:
        found.add(block.connection().credential.identity)
    return found


def _show(org_id: str, found: Inventory, console: Console, *, as_json: bool) -> int:
    again = f"pco-sync churches remove {org_id} --yes"
    if as_json:
        facts: dict[str, Any] = {name: getattr(found, name) for name in Inventory.__dataclass_fields__}
        print_document({"org_id": org_id, "is_removed": False, **facts, "exit_code": DONE})
        return DONE
    table = Table(title=f"What there is of {org_id}", title_justify="left")
    table.add_column("in Postgres", overflow="fold")
    table.add_column("rows", justify="right")
    for name, rows in found.rows.items():
        table.add_row(name, f"{rows:,}")
    console.print(table)
    lines = [
        *(f"view {one}" for one in found.views),
        *(f"role {one}" for one in found.readers),
        f"Redis: {found.keys:,} keys",
        f"Prefect: {'the block pco-credentials/' + org_id if found.has_block else 'no block'}, "
        f"{found.own_schedules} schedules of its own, {found.running} flow runs to be cancelled",
        f"Prefect keeps {found.flow_runs:,} flow runs of it, without its data, and deletes them {found.retention}",
        f"nothing was removed; to remove all of this for good: {again}",
    ]
    print_plain(console, *lines)
    return DONE


def _report(
    org_id: str, told: dict[str, Any], settings: SyncSettings, console: Console, *, is_over: bool, as_json: bool
) -> int:
    code = DONE if is_over else INCOMPLETE
    if as_json:
        print_document({"org_id": org_id, "is_removed": is_over, **told, "exit_code": code})
        return code
    rows = told["rows"]
    lines = [
        f"{sum(rows.values()):,} rows of {len(rows)} tables, {len(told['views'])} views, {len(told['readers'])} roles "
        f"and {told['keys']:,} keys of Redis are gone, in {told['seconds']} s",
        f"Prefect: the block and the schedules of {org_id} are gone, {told['cancelled_flow_runs']} flow runs were "
        f"cancelled; its {told['flow_runs_left_to_prefect']:,} flow runs hold none of its data, and are deleted "
        f"{told['prefect_deletes_them']}",
    ]
    if told["tokens"]:
        lines.append(in_words(told["tokens"]))
    if settings.org_id == org_id:
        lines.append("PCO_SYNC_ORG_ID names it still, here: unset that and its token, at every worker, too")
    lines.append(
        f"{org_id} is removed; backups of the database hold it until they are deleted"
        if is_over
        else f"somebody still writes of {org_id}: end that, then repeat pco-sync churches remove {org_id} --yes"
    )
    print_plain(console, *lines)
    return code
