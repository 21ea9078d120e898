"""A flow that is called the same way from async code (`await flow(...)`) and from a plain script (`flow(...)`)."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from prefect import Flow

P = ParamSpec("P")
R = TypeVar("R")


class FlowFromAnywhere(Flow[P, R]):
    """Without a running event loop a call runs the flow to its end; inside one it gives a coroutine to be awaited."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the flow."""
        run: Any = super().__call__(*args, **kwargs)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(run)
        return run

    def with_options(self, **options: Any) -> Any:
        """Such a flow, too: Prefect's own would make a plain one, whose coroutine nobody awaits in a script."""
        changed = super().with_options(**options)
        changed.__class__ = type(self)
        return changed


def flow_from_anywhere(
    **options: Any,
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], FlowFromAnywhere[P, Coroutine[Any, Any, R]]]:
    """`@flow` for such a flow, with the same options."""

    def decorate(function: Callable[P, Coroutine[Any, Any, R]]) -> FlowFromAnywhere[P, Coroutine[Any, Any, R]]:
        made = FlowFromAnywhere(function, **options)
        made.serialize_parameters({"": ""})  # loads what Prefect needs for it now, and not in the first run
        return made

    return decorate
