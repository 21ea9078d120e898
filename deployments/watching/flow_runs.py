"""A flow run of which only the end is of interest."""

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from rich.console import Console

from deployments.watching.followed import FollowedFlowRun
from deployments.watching.following import Look, follow


async def end_of_flow_run(flow_run: FlowRun, console: Console) -> FlowRun:
    """The flow run when it is over."""
    async with get_client() as client:
        followed = FollowedFlowRun(client, flow_run)

        async def look(seconds: float) -> Look:
            await followed.look(seconds)
            return Look(line=f"{followed.flow_run.name}: {followed.told}", is_over=followed.is_over)

        await follow(look, console, parting="no longer watched; it goes on, and Prefect shows its end")
        return followed.flow_run
