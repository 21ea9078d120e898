"""What decides the result of a run: fixed by its epoch, whoever continues it. How it is run may change.

`mode`, `below`, `include`, `exclude` and `many_deletions` decide what is read, and what is marked as deleted. All else
that stands in a plan (parents per flow run, children under way, waiting) is that of the newest request.
"""

from collections.abc import Mapping
from typing import Any, Final

PATTERNS: Final = ("include", "exclude")


def decisions_of(mode: str, plan: Mapping[str, Any] | None, fan_out: Mapping[str, Any] | None) -> dict[str, Any]:
    """The deciding parameters of a run, by name, as the ledger keeps its plan; what is not there is the default."""
    told = {**(plan or {}), **(fan_out or {})}
    decided: dict[str, Any] = {"mode": mode, "many_deletions": told.get("many_deletions", "stop")}
    if fan_out is not None:
        decided["below"] = list(told.get("below") or ())
    else:
        decided |= {name: sorted(set(told.get(name) or ())) for name in PATTERNS}
    return decided


def differing(begun: Mapping[str, Any], wanted: Mapping[str, Any], *, is_list: bool) -> list[str]:
    """The names of the deciding parameters in which two plans differ.

    In an epoch that was begun in full, a delta of the same list wants nothing else: the delta of a church reads in full
    what was never complete, and its epoch stays what it was begun as.
    """
    names = [name for name in sorted(begun.keys() | wanted.keys()) if begun.get(name) != wanted.get(name)]
    if is_list and (begun["mode"], wanted["mode"]) == ("full", "delta"):
        names.remove("mode")
    return names


def compared(begun: Mapping[str, Any], wanted: Mapping[str, Any], *, is_list: bool) -> str:
    """The difference in words; empty if there is none."""
    return ", ".join(
        f"{name} {_shown(begun.get(name))} and not {_shown(wanted.get(name))}"
        for name in differing(begun, wanted, is_list=is_list)
    )


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else "[" + ", ".join(value or ()) + "]"
