"""Saves three of the six requests that Prefect's engine makes for a run.

Before a run it writes the flow's version and retry policy to it; without retries nothing reads them. Then it reads the
run again, which this process got from the API a moment ago and has only changed itself. And it gives the run its name,
which it may have been made with. The first two are an eighth of what a small run costs the server.
"""

from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, FlowRunPolicy


class RunClient(PrefectClient):
    """The shared client, as one run's engine sees it."""

    def __init__(self, shared: PrefectClient, flow_run: FlowRun) -> None:
        """Shares the connections of `shared`. The run is handed out once; later readings are real ones."""
        self.__dict__.update(shared.__dict__)
        self._handed_out: FlowRun | None = flow_run
        self._name = flow_run.name

    async def read_flow_run(self, flow_run_id: UUID) -> FlowRun:
        """The run as it is known here, the first time and if it runs."""
        known, self._handed_out = self._handed_out, None
        if known is None or known.id != flow_run_id or known.state is None or not known.state.is_running():
            return await super().read_flow_run(flow_run_id)
        run_count = known.run_count + 1
        return known.model_copy(
            update={"run_count": run_count, "start_time": known.start_time or known.state.timestamp}
        )

    async def update_flow_run(self, flow_run_id: UUID, **changes: Any) -> Any:  # type: ignore[override]
        """Send the changes, unless they say only that the flow has no retries."""
        policy = changes.get("empirical_policy")
        if changes.keys() <= {"flow_version", "empirical_policy"} and not _has_retries(policy):
            return None
        return await super().update_flow_run(flow_run_id, **changes)

    async def set_flow_run_name(self, flow_run_id: UUID, name: str) -> Any:
        """Send the name, unless the run has it already."""
        if name == self._name:
            return None
        return await super().set_flow_run_name(flow_run_id, name)


def _has_retries(policy: FlowRunPolicy | None) -> bool:
    return policy is None or bool(policy.retries)
