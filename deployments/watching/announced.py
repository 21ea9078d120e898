"""Which flow run does the work, and the result of one that ended before the ledger knew of it."""

from typing import Final

from prefect.client.schemas.objects import FlowRun
from prefect.utilities.urls import url_for
from pydantic import BaseModel
from rich.console import Console

PREFECTS_WORDS: Final = "Flow run encountered an exception: "
"""What Prefect writes before every error, which is the news."""


class Failure(BaseModel):
    """The result of work that ended before the ledger knew of it, by Prefect's state of its flow run."""

    outcome: str
    reason: str
    flow_run: str = ""


def failure_of(flow_run: FlowRun) -> Failure:
    """What Prefect says of a flow run that ended without the ledger's knowing of it."""
    state = flow_run.state
    outcome = "cancelled" if state is not None and state.is_cancelled() else "failed"
    reason = (state.message or str(state.name)) if state is not None else "Prefect knows no state of it"
    return Failure(outcome=outcome, reason=reason.removeprefix(PREFECTS_WORDS), flow_run=flow_run.name)


class Started(BaseModel):
    """The result of a command that does not wait: which flow run does the work; not `is_new` if it was there before."""

    outcome: str = "started"
    flow_run: str
    url: str | None
    is_new: bool


def announce(flow_run: FlowRun, console: Console, *, is_new: bool = True) -> Started:
    """Say which flow run does the work, and where it is seen."""
    url = url_for(flow_run)
    console.print(f"{'started' if is_new else 'runs or ran already'}: {flow_run.name}", highlight=False)
    console.print(f"  {url}", highlight=False, soft_wrap=True)
    return Started(flow_run=str(flow_run.id), url=url, is_new=is_new)
