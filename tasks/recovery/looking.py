"""What Prefect says of flow runs whose work the ledger knows: whether they wait, work, are over, or must be dead."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun

AT_ONCE: Final = 100
"""Flow runs that one request asks for."""

Doing = Literal["waiting", "working", "silent", "cancelled", "over", "gone"]
"""waiting: no worker has it yet. silent: it has been pending or running for longer than it should have. gone: Prefect
does not know it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What a flow run is doing, and what its state says. `is_cancelling`: a person wants it to end, and it has not."""

    doing: Doing
    said: str = ""
    is_cancelling: bool = False

    @property
    def goes_on(self) -> bool:
        """Whether it will do its work."""
        return self.doing in ("waiting", "working")


GONE: Final = Look(doing="gone", said="Prefect does not know its flow run any more")


async def look_at_flow_runs(flow_run_ids: Iterable[str], *, silence: float) -> dict[str, Look]:
    """Each of them; one that is neither over nor waiting is silent after so many seconds in its state.

    Raises httpx's errors.
    """
    looks = dict.fromkeys(flow_run_ids, GONE)
    async with get_client() as client:
        for ids in _parts(looks):
            found = await client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=ids)))
            looks |= {str(run.id): look_at(run, silence) for run in found}
    return looks


def _parts(flow_run_ids: Iterable[str]) -> Iterator[list[UUID]]:
    ids = [one for one in map(_identity, flow_run_ids) if one is not None]
    for start in range(0, len(ids), AT_ONCE):
        yield ids[start : start + AT_ONCE]


def _identity(flow_run_id: str) -> UUID | None:
    try:
        return UUID(flow_run_id)
    except ValueError:
        return None


def look_at(run: FlowRun, silence: float) -> Look:
    """One of them, as it was read."""
    state = run.state
    if state is None or state.is_scheduled() or state.is_paused():
        return Look(doing="waiting")
    said = f"{state.name}: {state.message}" if state.message else str(state.name)
    if state.is_final():
        return Look(doing="cancelled" if state.is_cancelled() else "over", said=said)
    is_silent = (datetime.now(UTC) - state.timestamp).total_seconds() > silence
    return Look(doing="silent" if is_silent else "working", said=said, is_cancelling=state.is_cancelling())
