"""One flow run that this process is executing, and how it is told to stop."""

import asyncio
import ctypes
from dataclasses import dataclass, field
from enum import Enum
from threading import Lock
from typing import Any, Protocol

from prefect.client.schemas.objects import FlowRun, State


class StopReason(Enum):
    """Why a run is stopped before its end."""

    CANCELLED = "cancelled"
    """Somebody asked Prefect to cancel it: it ends Cancelled."""

    DRAINED = "drained"
    """The worker has to end: it goes back to the work pool as AwaitingRetry."""

    DISOWNED = "disowned"
    """Prefect says it is over already, though it still runs here: its state is left as it is."""


class RunStopped(BaseException):
    """Raised inside the thread of a sync flow, as `CancelledError` is inside an async one."""


class Suspension(Protocol):
    """Prefect's request to a running flow that it stop at the next task and be run again later."""

    def mark_requested(self, state: State[Any]) -> None:
        """Take note of the state Suspended that the run was given."""


@dataclass(eq=False)
class ActiveRun:
    """What is known about the run while it goes on."""

    flow_run: FlowRun
    task: asyncio.Task[None] | None = None
    thread_id: int | None = None
    stop_reason: StopReason | None = None
    suspension: Suspension | None = None
    is_claimed: bool = False
    """Whether Prefect gave the run to this worker. Before that it is not interrupted, lest nobody knew whose it is."""
    is_running: bool = False
    """Whether Prefect knows that it runs."""
    has_concluded: bool = False
    """Whether its last state was reported: there is nothing left to stop."""
    _interrupting: Lock = field(default_factory=Lock)

    def stop(self, reason: StopReason) -> None:
        """Interrupt the run, once. Its own cleanup runs; the reason decides which state it ends in.

        To be called in the thread of the flows.
        """
        if self.has_concluded or self.stop_reason is not None:
            return
        self.stop_reason = reason
        with self._interrupting:
            if self.thread_id is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.thread_id), ctypes.py_object(RunStopped))
                return
        if self.is_claimed and self.task is not None:
            self.task.cancel()

    def suspend(self, state: State[Any]) -> None:
        """Let the run stop at its next task boundary, as Prefect's engine does by itself elsewhere."""
        if self.suspension is not None:
            self.suspension.mark_requested(state)

    def enter_thread(self, thread_id: int) -> None:
        """The flow is sync and runs in this thread from now on. Raises `RunStopped` if it was stopped before."""
        with self._interrupting:
            if self.stop_reason is not None:
                raise RunStopped
            self.thread_id = thread_id

    def leave_thread(self) -> None:
        """No interrupt reaches the thread after this."""
        with self._interrupting:
            self.thread_id = None
