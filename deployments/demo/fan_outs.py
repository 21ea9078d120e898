"""The second part of the demo: what Planning Center lists per group, by a child flow run for each group."""

import os
from typing import Final

from prefect.utilities.urls import url_for
from rich.console import Console
from sqlalchemy import text

from deployments.watching.fan_outs import FanOutView, watch_fan_out
from deployments.watching.waiting import SIGN_EVERY, waiting
from pco_store.database import Database
from pco_store.ledger.openings import FAN_OUT_SCOPE, sync_key
from tasks.deployment_runs import start_fan_out

MEMBERSHIPS: Final = "groups.Membership"
EVENTS: Final = "groups.Event"
GROUPS: Final = 24


async def demo_fan_outs(org_id: str, console: Console) -> bool:
    """A flow run per group for the memberships, and per dozen of groups for the events; whether all were done."""
    console.print(
        "\n  Planning Center lists memberships and events per group only: a child flow run"
        f"\n  for each of the {GROUPS} groups, and for the events one for every dozen of them."
        "\n  They share its limit of 100 requests in 20 s, so the last ones pause for a while.\n",
        highlight=False,
        soft_wrap=True,
    )
    views = [
        await run_fan_out(org_id, MEMBERSHIPS, console, groups_per_run=1),
        await run_fan_out(org_id, EVENTS, console, groups_per_run=12),
    ]
    return not any(view.counts.dead for view in views)


async def run_fan_out(org_id: str, entity: str, console: Console, *, groups_per_run: int) -> FanOutView:
    """Start a fan-out, or continue the one that an earlier demo left, and show it to its end."""
    with waiting(console, f"requesting the fan-out of {entity}"):
        epoch = await epoch_to_run(org_id, entity)
        started = await start_fan_out(org_id, entity, epoch=epoch, groups_per_run=groups_per_run)
    key = sync_key(org_id, entity, epoch, FAN_OUT_SCOPE)
    view = await watch_fan_out(key, console, flow_run_id=started.flow_run.id, print_every=SIGN_EVERY)
    if not console.is_terminal:
        console.print()  # the last line of what was shown live has no end there
    console.print(f"  {url_for(started.flow_run)}", highlight=False, soft_wrap=True)
    return view


async def epoch_to_run(org_id: str, entity: str) -> str:
    """The epoch that is not done, or the next one."""
    database = Database(os.environ["PCO_SYNC_DATABASE_URL"], pool_size=1)
    try:
        async with database.transaction() as connection:
            result = await connection.execute(
                text(
                    """
                    SELECT epoch, state, turn FROM sync.runs
                    WHERE org_id = :org_id AND entity = :entity AND fan_out IS NOT NULL ORDER BY turn DESC LIMIT 1
                    """
                ),
                {"org_id": org_id, "entity": entity},
            )
            last = result.one_or_none()
    finally:
        await database.aclose()
    if last is None:
        return "demo-1"
    return str(last.epoch) if last.state != "completed" else f"demo-{last.turn + 1}"
