"""`fan-outs` and `cancel`: list a church's fan-outs, stop one."""

from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from deployments.ended import print_document
from deployments.exit_codes import DONE
from deployments.operations.churches import check_church
from deployments.terminal import print_plain
from deployments.transaction import transaction
from pco_store.ledger.fan_out.children import list_dead
from pco_store.ledger.fan_out.fan_outs import cancel_fan_out, find_fan_out
from pco_store.ledger.openings import FAN_OUT_SCOPE, sync_key
from pco_store.ledger.run_facts import fan_out_facts
from pco_store.ledger.runs import RunHandle
from tasks.reports.fan_out_summary import summarize_fan_out


class UnknownFanOutError(Exception):
    """The ledger has no such fan-out."""


async def known_fan_out(connection: AsyncConnection, key: str) -> RunHandle:
    """The fan-out with this key. Raises `UnknownFanOutError`."""
    root = await find_fan_out(connection, key)
    if root is None:
        raise UnknownFanOutError(f"the ledger has no fan-out {key}; `fan-outs` lists those there are")
    return root


async def show_fan_outs(org_id: str, console: Console, *, as_json: bool) -> int:
    """Every fan-out of a church, and the children that are dead. Raises `UnknownChurchError`."""
    async with transaction() as connection:
        await check_church(connection, org_id)
        facts = await fan_out_facts(connection, org_id)
        dead = await list_dead(connection, org_id)
    found = [summarize_fan_out(one)[0] for one in sorted(facts, key=lambda one: one.run_id)]
    if as_json:
        told = [{"key": one.key, "attempts": one.attempts, "error": one.error} for one in dead]
        fan_outs = [one.model_dump(mode="json", exclude={"submitted_here", "seconds"}) for one in found]
        print_document({"org_id": org_id, "fan_outs": fan_outs, "dead": told})
        return DONE
    table = Table(title=f"Fan-outs of {org_id}", title_justify="left")
    table.add_column("resource", overflow="fold")
    table.add_column("epoch", overflow="fold")
    table.add_column("outcome", no_wrap=True)
    table.add_column("done", justify="right", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("dead", justify="right", no_wrap=True)
    for one in found:
        done = f"{one.done:,}/{one.children:,}"
        table.add_row(one.entity, one.epoch, one.outcome, done, f"{one.rows:,}", f"{one.dead:,}")
    console.print(table)
    for one in found:
        if one.reason:
            line = f"{one.entity} {one.epoch}: {one.outcome}: {one.reason}"
            print_plain(console, line)
    for child in dead:
        console.print(f"dead: {child.key} after {child.attempts} attempts: {child.error}", markup=False, soft_wrap=True)
    return DONE


async def cancel(org_id: str, entity: str, epoch: str, console: Console, *, as_json: bool) -> int:
    """Let no child start any more, and the running ones stop. Raises `UnknownFanOutError`."""
    key = sync_key(org_id, entity, epoch, FAN_OUT_SCOPE)
    async with transaction() as connection:
        root = await known_fan_out(connection, key)
        stopped = await cancel_fan_out(connection, root.run_id)
    said = "cancelled; the same fan-out started again continues it" if stopped else "there was nothing to stop"
    if as_json:
        print_document({"key": key, "is_cancelled": stopped, "exit_code": DONE})
    else:
        console.print(f"{key}: {said}", highlight=False, soft_wrap=True)
    return DONE
