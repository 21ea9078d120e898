"""The simulator's own paths, under `/_simulator/`: what happened, what exists, and what shall happen next."""

from dataclasses import asdict, replace
from typing import Any, Final

import orjson

from pco_simulator.churches import Churches
from pco_simulator.contents.churn import Change
from pco_simulator.settings import Drop
from pco_simulator.simulator import Simulator
from pco_simulator.trouble.faults import Fault

PREFIX: Final = "/_simulator/"


def control(churches: Churches, method: str, path: str, body: bytes) -> tuple[int, Any]:
    """Answer a control request with a status and a document.

    Of several churches the first one is meant, or the one of an application: `/_simulator/of/{application}/stats`.

    GET  access_log, stats, counts, state/{product}/{Resource}
    POST faults [Fault…]     replaces those in force
         churn [Change…]     answers the ids that the immediate ones touched
         rate_limit {limit | null, period, deep_limit, window, count_refused, after_request}
         latency {ms}, forbid [product…], ignore [attribute…], clock {seconds}, reset_log,
         cap {records | null, counts_only}

    GET oauth, POST oauth {…}: the provider, which all churches share (`pco_simulator/oauth/provider.py`).
    """
    what, _, name = path.removeprefix(PREFIX).partition("/")
    application = ""
    if what == "of":
        application, _, rest = name.partition("/")
        what, _, name = rest.partition("/")
    try:
        if what == "oauth":
            if method == "POST":
                churches.provider.change(dict(orjson.loads(body)))
            return 200, churches.provider.told()
        simulator = churches.named(application)
        if method == "GET":
            return _look(simulator, what, name)
        return _change(simulator, what, orjson.loads(body) if body else None)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return 400, {"error": str(error)}


def _look(simulator: Simulator, what: str, name: str) -> tuple[int, Any]:
    match what:
        case "access_log":
            return 200, [asdict(access) for access in simulator.log.entries]
        case "stats":
            return 200, _stats(simulator)
        case "counts":
            return 200, simulator.world.sizes()
        case "state":
            return 200, simulator.state(name.replace("/", "."))
    return 404, {"error": f"no such path: GET {what}"}


def _stats(simulator: Simulator) -> dict[str, Any]:
    windows = simulator.windows
    return {
        "requests": len(simulator.log.entries),
        "refused": sum(window.refused for window in windows.values()),
        "max_in_window": max((window.most for window in windows.values()), default=0),
        "max_in_window_by_credential": {name: window.most for name, window in windows.items()},
        "by_status": simulator.log.by_status(),
        "faults_fired": dict(simulator.faults.fired),
        "churn_waiting": len(simulator.churn.waiting),
        "churn_failures": simulator.churn.failures,
    }


def _change(simulator: Simulator, what: str, told: Any) -> tuple[int, Any]:
    match what:
        case "faults":
            simulator.faults.replace([Fault(**one) for one in told])
        case "churn":
            return 200, {"done": what, "ids": _churn(simulator, [Change(**one) for one in told])}
        case "rate_limit":
            _set_rate_limit(simulator, dict(told))
        case "latency":
            simulator.settings = replace(simulator.settings, latency=float(told["ms"]) / 1000)
        case "ignore":
            simulator.settings = replace(simulator.settings, ignores=frozenset(told))
        case "cap":
            simulator.cap(told["records"], counts_only=bool(told["counts_only"]))
        case "clock":
            simulator.world.clock_ahead = float(told["seconds"])
        case "forbid":
            simulator.settings = replace(simulator.settings, forbidden=frozenset(told))
        case "reset_log":
            simulator.forget()
        case _:
            return 404, {"error": f"no such path: POST {what}"}
    return 200, {"done": what}


def _churn(simulator: Simulator, changes: list[Change]) -> list[int]:
    ids: list[int] = []
    for change in changes:
        if change.after_request:
            simulator.churn.waiting.append(change)
        else:
            ids.extend(change.apply(simulator.world))
    return ids


def _set_rate_limit(simulator: Simulator, told: dict[str, Any]) -> None:
    after_request = told.pop("after_request", 0)
    if after_request:
        simulator.drops.append(Drop(limit=int(told["limit"]), after_request=after_request))
        return
    simulator.settings = replace(simulator.settings, rules=replace(simulator.settings.rules, **told))
