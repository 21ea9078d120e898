"""Tells Prefect, for all runs of this process, that they are alive.

The events are those of Prefect's own engine (`prefect.flow-run.heartbeat`, every `PREFECT_FLOWS_HEARTBEAT_FREQUENCY`
seconds, the first soon after the run has begun), so an automation that marks silent runs Crashed takes them as well.
"""

import time
from uuid import UUID

import prefect
from prefect.events import RelatedResource, emit_event
from prefect.settings import get_current_settings

from pco_worker.runs.active_run import ActiveRun

EVENT = "prefect.flow-run.heartbeat"
SHORTEST_INTERVAL = 30
"""Seconds; Prefect's engine sends no more often either."""

FIRST_AFTER = 5
"""Seconds. A run that is over sooner sends none: its heartbeat might reach the server after its end, and an automation
would wait for more of them."""


class Heartbeats:
    """Whose turn it is."""

    def __init__(self) -> None:
        self._last: dict[UUID, float] = {}

    def beat(self, active: tuple[ActiveRun, ...]) -> None:
        """Send what is due. Call it about once a second."""
        seconds = get_current_settings().flows.heartbeat_frequency
        if seconds is None:
            return
        now = time.monotonic()
        due = now - max(seconds, SHORTEST_INTERVAL)
        running = [one for one in active if one.is_running]
        first = due + FIRST_AFTER
        self._last = {one.flow_run.id: self._last.get(one.flow_run.id, first) for one in running}
        for one in running:
            if self._last[one.flow_run.id] <= due:
                self._last[one.flow_run.id] = now
                _emit(one)


def _emit(one: ActiveRun) -> None:
    run = one.flow_run
    related = [{"prefect.resource.id": f"prefect.flow.{run.flow_id}", "prefect.resource.role": "flow"}]
    if run.deployment_id is not None:
        deployment = f"prefect.deployment.{run.deployment_id}"
        related.append({"prefect.resource.id": deployment, "prefect.resource.role": "deployment"})
    related += [
        {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in sorted(run.tags)
    ]
    emit_event(
        event=EVENT,
        resource={
            "prefect.resource.id": f"prefect.flow-run.{run.id}",
            "prefect.resource.name": run.name,
            "prefect.version": prefect.__version__,
        },
        related=[RelatedResource.model_validate(one) for one in related],
    )
