"""The deployments whose runs this worker executes, read once in a while instead of three times per run."""

import asyncio
import time
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.responses import DeploymentResponse


class KnownDeployments:
    """Belongs to one event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._known: dict[UUID, tuple[float, asyncio.Future[DeploymentResponse]]] = {}

    async def read(self, client: PrefectClient, deployment_id: UUID) -> DeploymentResponse:
        """The deployment, as old as `seconds` at most. Raises `ObjectNotFound` and httpx's errors."""
        read_at, reading = self._known.get(deployment_id, (0.0, None))
        if reading is None or time.monotonic() - read_at > self._seconds or _has_failed(reading):
            reading = asyncio.ensure_future(client.read_deployment(deployment_id))
            self._known[deployment_id] = (time.monotonic(), reading)
        return await asyncio.shield(reading)


def _has_failed(reading: "asyncio.Future[DeploymentResponse]") -> bool:
    return reading.done() and (reading.cancelled() or reading.exception() is not None)
