"""The simulator's own paths, under `/_simulator/`: what happened, what exists, and what shall happen next."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson

from pco_simulator.app import Simulator
from pco_simulator.churn import Change
from pco_simulator.faults import Fault

PREFIX = "/_simulator/"


def control(simulator: Simulator, method: str, path: str, body: bytes) -> tuple[int, Any]:
    """Answer a control request with a status and a document.

    GET  access_log, stats, state/{product.Resource}
    POST faults [Fault…] (replaces those in force), churn [Change…], limits {limit, period, deep_limit, kind},
         latency {seconds}, forbid [product…], forget (empties the access log and the rate windows)
    """
    what, _, name = path.removeprefix(PREFIX).partition("/")
    try:
        if method == "GET":
            return _look(simulator, what, name)
        return _change(simulator, what, orjson.loads(body) if body else None)
    except (ValueError, TypeError, KeyError) as error:
        return 400, {"error": str(error)}


def _look(simulator: Simulator, what: str, name: str) -> tuple[int, Any]:
    match what:
        case "access_log":
            return 200, [asdict(access) for access in simulator.access_log]
        case "stats":
            return 200, {
                "requests": simulator.served,
                "refused": sum(window.refused for window in simulator.windows.values()),
                "most_in_a_period": {name: window.most for name, window in simulator.windows.items()},
            }
        case "state":
            return 200, list(simulator.world.collection(name).documents())
    return 404, {"error": f"no such path: GET {what}"}


def _change(simulator: Simulator, what: str, told: Any) -> tuple[int, Any]:
    match what:
        case "faults":
            simulator.faults.faults = [Fault(**one) for one in told]
        case "churn":
            simulator.churn.waiting.extend(Change(**one) for one in told)
            simulator.churn.apply_due(simulator.world, simulator.served if _is_immediate(told) else -1)
        case "limits":
            for key, value in told.items():
                setattr(simulator.settings.rules, key, value)
        case "latency":
            simulator.settings.latency = float(told["seconds"])
        case "forbid":
            simulator.settings.forbidden = frozenset(told)
        case "forget":
            simulator.access_log.clear()
            simulator.windows.clear()
            simulator.served = 0
        case _:
            return 404, {"error": f"no such path: POST {what}"}
    return 200, {"done": what}


def _is_immediate(told: list[Mapping[str, Any]]) -> bool:
    return all(not one.get("after_request") for one in told)
