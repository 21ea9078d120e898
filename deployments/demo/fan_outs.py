"""The second part of the demo: what Planning Center lists per group, by a child flow run for each group."""

from typing import Final

from prefect.utilities.urls import url_for
from rich.console import Console

from deployments.ended import exit_code
from deployments.exit_codes import DONE
from deployments.operations.sync import watch_to_the_end
from deployments.waiting import SIGN_EVERY, waiting
from tasks.deployment_runs import start_fan_out

MEMBERSHIPS: Final = "groups.Membership"
EVENTS: Final = "groups.Event"
GROUPS: Final = 24


async def demo_fan_outs(org_id: str, console: Console) -> bool:
    """A flow run per group for the memberships, and per dozen of groups for the events; whether all were done."""
    console.print(
        "\n  Planning Center lists memberships and events per group only: a child flow run"
        f"\n  for each of the {GROUPS} groups, and for the events one for every dozen of them."
        "\n  They share its limit of 100 requests in 20 s, so the last ones pause.\n",
        highlight=False,
        soft_wrap=True,
    )
    ends = [
        await run_fan_out(org_id, MEMBERSHIPS, console, groups_per_run=1),
        await run_fan_out(org_id, EVENTS, console, groups_per_run=12),
    ]
    return all(exit_code(one) == DONE for one in ends)


async def run_fan_out(org_id: str, entity: str, console: Console, *, groups_per_run: int) -> str:
    """Start a fan-out, or continue the one that an earlier demo left, and show it to its end; its outcome."""
    with waiting(console, f"requesting the fan-out of {entity}"):
        started = await start_fan_out(org_id, entity, groups_per_run=groups_per_run)
    result = await watch_to_the_end(started.flow_run, org_id, entity, console, below=True, print_every=SIGN_EVERY)
    console.print(f"  {url_for(started.flow_run)}", highlight=False, soft_wrap=True)
    return result.outcome
