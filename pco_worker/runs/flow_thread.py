"""An event loop in a thread of its own, where the flows run.

Not the worker's own loop, for three reasons. A flow that blocks its loop stops neither the polling nor the heartbeats.
In the main thread Prefect's engine would replace the process's SIGTERM handler, once per run and out of order. And a
`SystemExit` in a task that some flow started would end the loop: here it is logged and the loop goes on.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import Context, copy_context
from typing import Any

from prefect.context import AsyncClientContext, SyncClientContext
from prefect.logging.loggers import get_logger


class FlowThread:
    """Started once, stopped once. All runs share one connection pool to the API."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._logger: logging.Logger = get_logger("worker.warm.flows")
        self._is_stopping = False
        self._context: Context = Context()
        self._client: AsyncClientContext | None = None
        self._sync_client: SyncClientContext | None = None
        # The settings context of the caller, so that all threads speak to the same API.
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._run,), name="warm-worker-flows", daemon=True
        )

    async def start(self) -> None:
        """Start the thread and open the client of the flows. Raises Prefect's and httpx's errors if there is no API."""
        self._thread.start()
        await asyncio.wrap_future(self.submit(self._open()))

    async def stop(self) -> None:
        """Close the client and end the thread. What still runs is cut off."""
        try:
            await asyncio.wrap_future(self.submit(self._close()))
        finally:
            self._is_stopping = True
            self._loop.call_soon_threadsafe(self._loop.stop)
            await asyncio.to_thread(self._thread.join, 5)

    def submit(
        self, work: Coroutine[Any, Any, None], started: Callable[[asyncio.Task[None]], None] | None = None
    ) -> Future[None]:
        """Run `work` as a task with a context of its own. May be called from any thread."""
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # nobody's cancellation of the future is that of the task

        def begin() -> None:
            task = self._loop.create_task(work, context=self._context.copy())
            if started is not None:
                started(task)
            task.add_done_callback(finish)

        def finish(task: asyncio.Task[None]) -> None:
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(None)

        self._loop.call_soon_threadsafe(begin)
        return done

    def call(self, function: Callable[[], None]) -> None:
        """Call a function in the thread. May be called from any thread."""
        self._loop.call_soon_threadsafe(function)

    async def _open(self) -> None:
        self._client = await AsyncClientContext().__aenter__()
        self._sync_client = SyncClientContext().__enter__()  # for sync flows; httpx's client is made for many threads
        self._context = copy_context()

    async def _close(self) -> None:
        if self._client is not None:
            await self._client.client.__aexit__(None, None, None)
        if self._sync_client is not None:
            self._sync_client.client.__exit__(None, None, None)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._context = copy_context()
        while not self._is_stopping:
            try:
                self._loop.run_forever()
            except BaseException:
                self._logger.exception("A task of a flow tried to end the worker; the other runs go on")
