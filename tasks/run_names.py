"""The names of flow runs, from their parameters: what Prefect shows in place of two random words."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from prefect.context import FlowRunContext

LONGEST_CHOICE: Final = 60


def run_name(flow: str, parameters: Mapping[str, Any]) -> str | None:
    """The name of a run of this flow; None for one that is not ours."""
    make = _NAMES.get(flow)
    return None if make is None else make(parameters)


def own_run_name() -> str:
    """The `flow_run_name` of our flows: Prefect asks for it when a run begins."""
    context = FlowRunContext.get()
    assert context is not None, "Prefect asks inside a run"
    assert context.flow is not None, "a run has a flow"
    return run_name(context.flow.name, context.parameters or {}) or context.flow.name


def _mode_of(parameters: Mapping[str, Any], what: str) -> str:
    mode = parameters.get("mode") or "full"
    return what if mode == "full" else f"{mode} of {what}"


def _church(parameters: Mapping[str, Any]) -> str:
    chosen = ", ".join(parameters.get("include") or ()) or "everything"
    left_out = ", ".join(parameters.get("exclude") or ())
    what = f"{chosen} without {left_out}" if left_out else chosen
    return what if len(what) <= LONGEST_CHOICE else f"{what[: LONGEST_CHOICE - 1]}…"


def _parents(parameters: Mapping[str, Any]) -> str:
    first, *more = parameters["parents"]
    return f"{first} and {len(more)} more" if more else str(first)


_NAMES: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "sync-organization": lambda given: f"{given['org_id']}: {_mode_of(given, _church(given))}",
    "sync-organizations": lambda given: f"all churches: {_mode_of(given, _church(given))}",
    "sync-entity": lambda given: f"{given['org_id']}: {_mode_of(given, given['entity'])}",
    "sync-children": lambda given: f"{given['org_id']}: {given['entity']} below every parent",
    "sync-child": lambda given: f"{given['org_id']}: {given['entity']} below {_parents(given)}",
    "replay-children": lambda given: f"{given['org_id']}: replay {given['entity']} of {given['epoch']}",
    "replay-quarantine": lambda given: f"{given['org_id']}: replay {given.get('entity') or 'everything'} in quarantine",
    "verify-entity": lambda given: f"{given['org_id']}: verify {given['entity']}",
    "recover-syncs": lambda _: "continue what died",
    "remove-old": lambda _: "remove what is over",
}
