"""`status`: what runs, whether it answers, and whether the data is current."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console
from rich.markup import escape

from deployments.current.data import as_document, code_of, read_current, show_church, show_churches
from deployments.ended import print_document
from deployments.environment import ServersNotFoundError, embedded_services, find_servers
from deployments.exit_codes import DONE, FAILED
from deployments.foreseen import foreseen
from deployments.interrupts import interrupts
from deployments.transaction import transaction
from pco_client.redis_address import RedisAddressWrong, redis_address
from pco_store.connections.connections import ConnectionState, connection_states
from pco_store.errors import SchemaMissing, StoreError
from tasks.settings import read_settings

REDIS_SECONDS: Final = 3.0


def show_status(org_id: str | None, console: Console, *, as_json: bool) -> int:
    """Print what runs, and whether the data is current.

    1 if a server does not answer or the tables are of another version, 3 if something is not current. Raises
    `UnknownChurchError`, and of a church that was named the errors of the store.
    """
    is_ours = not os.environ.get("PCO_SYNC_DATABASE_URL")
    document: dict[str, Any] = {}
    server_code = DONE
    if is_ours:
        services = embedded_services()
        from deployments.current.servers import show_servers

        document, server_code = show_servers(services, console, as_json=as_json)
        if not _is_up(document):
            return _ended(document, server_code, as_json=as_json)
    with suppress(ServersNotFoundError):  # who has the database only is told of the data only
        find_servers()
    code, found = _show_data(org_id, console, as_json=as_json)
    document = {**document, **found}
    if os.environ.get("PREFECT_API_URL"):
        work, prefect_code = _show_work(console, as_json=as_json)
        redis = [] if is_ours else _redis_trouble()
        server_code = server_code or prefect_code or (FAILED if redis else DONE)
        troubles = [*redis, *work["troubles"], *_closed_tokens(found)]
        for trouble in () if as_json else troubles:
            console.print(f"trouble         [yellow]{escape(trouble)}[/]", highlight=False, soft_wrap=True)
        document = {**document, **work, "troubles": troubles}
    return _ended(document, server_code or code, as_json=as_json)


def _is_up(document: Mapping[str, Any]) -> bool:
    return bool(document["servers"]) and not any(document["servers"].values())


def _ended(document: Mapping[str, Any], code: int, *, as_json: bool) -> int:
    if as_json:
        print_document({**document, "exit_code": code})
    return code


def _show_data(org_id: str | None, console: Console, *, as_json: bool) -> tuple[int, dict[str, Any]]:
    connected = interrupts.run(_connected()) if os.environ.get("PREFECT_API_URL") else {}
    try:
        churches, tables = interrupts.run(read_current(org_id, connected))
        connected = connected or {}
    except StoreError as error:
        if org_id is not None:
            raise
        if not as_json:
            console.print(f"data            {escape(str(error))}", highlight=False, soft_wrap=True)
        code = DONE if isinstance(error, SchemaMissing) else FAILED
        return code, {"churches": [], "database_trouble": str(error)}
    if org_id is None and not as_json:
        show_churches(churches, connected, console)
    elif org_id is not None and not as_json:
        show_church(churches[0], tables, connected, console)
    return code_of(churches, connected, org_id), as_document(churches, tables, connected, org_id)


async def _connected() -> Mapping[str, bool] | None:
    """The churches that are connected, each with whether schedules sync it; None if Prefect is away, as shown below."""
    from tasks.credentials import connected_organizations  # Prefect reads its settings when it is imported

    try:
        return await connected_organizations(read_settings())
    except Exception as error:
        if foreseen(error) is None:
            raise
        return None


def _closed_tokens(found: Mapping[str, Any]) -> list[str]:
    """A line for each reason why tokens cannot be opened here; none if the database is away, which is shown above."""
    if "database_trouble" in found:
        return []
    from tasks.connections.opening import not_opened  # Prefect reads its settings when it is imported

    async def read() -> Mapping[str, ConnectionState]:
        async with transaction() as connection:
            return await connection_states(connection)

    churches: dict[str, list[str]] = {}
    for org_id, reason in not_opened(interrupts.run(read()), read_settings()).items():
        churches.setdefault(reason, []).append(org_id)
    return [f"the tokens of {', '.join(names)} cannot be opened here: {reason}" for reason, names in churches.items()]


def _redis_trouble() -> list[str]:
    """Why the Redis of one's own cannot be used, in a line; none if it can."""
    from redis import Redis, RedisError

    address = os.environ.get("PCO_SYNC_REDIS_URL")
    if not address:
        return []
    seconds = {"socket_timeout": REDIS_SECONDS, "socket_connect_timeout": REDIS_SECONDS}
    try:
        with Redis.from_url(redis_address(address), **seconds) as redis:
            redis.ping()
    except (RedisAddressWrong, RedisError) as error:
        known = foreseen(error)
        return [known[0] if known else str(error)]
    return []


def _show_work(console: Console, *, as_json: bool) -> tuple[dict[str, Any], int]:
    """Workers and schedules, and 1 if Prefect does not tell them.

    They themselves change no exit code: what they should have done and did not is seen in the data.
    """
    from deployments.current.prefect_work import read_prefect_work  # Prefect reads its settings when it is imported

    try:
        work = interrupts.run(read_prefect_work())
    except Exception as error:
        known = foreseen(error)
        if known is None:
            raise
        return {"troubles": [f"Prefect: {known[0]}"]}, FAILED
    if not as_json:
        for pool, online in work.workers.items():
            console.print(f"workers         {online} online on {pool}", highlight=False, soft_wrap=True)
        for one in work.scheduled:
            at = "nothing is scheduled" if one.next_at is None else f"next at {one.next_at:%Y-%m-%d %H:%M} UTC"
            console.print(f"schedule        {one.deployment}: {at}", highlight=False, soft_wrap=True)
    shown = {"workers": work.workers, "scheduled": [asdict(one) for one in work.scheduled], "troubles": work.troubles}
    return shown, DONE
