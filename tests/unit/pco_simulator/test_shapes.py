"""The simulator's answers have the shapes of recorded ones: which members there are, of what kind, and which links.

`recordings/shapes.json` holds shapes, not data: of each request the newest answer that was recorded. In it a value is
`text`, `number` or `flag`; null, if nothing else was ever seen; the names in `can_...` and the types are real.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest

from pco_catalog import load_catalog
from pco_simulator.simulator import Simulator
from tests.unit.pco_simulator.asking import RECORDINGS, ids, page, simulator

RECORDED: Final[list[dict[str, Any]]] = json.loads((RECORDINGS / "shapes.json").read_text("utf-8"))
PAGING: Final = {"next", "prev"}


@pytest.fixture(scope="module")
def world() -> Simulator:
    """A church in which every edge leads somewhere."""
    return simulator(people=101)


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda one: f"{one['path']}?{one['query']}")
def test_an_answer_has_the_shape_of_the_newest_recorded_one(world: Simulator, recorded: dict[str, Any]) -> None:
    assert differences(recorded, answer(world, recorded)) == []


def answer(world: Simulator, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What the simulator answers to the recorded request, below the first parent that has any such record."""
    query = f"per_page=80&{recorded['query']}".rstrip("&")
    for path in paths(world, recorded["path"]):
        found = page(world, path, query)
        if found["data"]:
            return found
    raise AssertionError(f"the simulated church has no {recorded['path']}")


def paths(world: Simulator, template: str) -> list[str]:
    """The path with ids of records that exist."""
    if "{plan}" in template:
        plans = [one["links"]["self"].partition("/services")[2] for one in world.state("services.Plan")]
        return [f"/services{plan}/{template.rpartition('/')[2]}" for plan in plans]
    above, _, below = template.partition("/{id}")
    return [template] if above == template else [f"{above}/{one}{below}" for one in ids(page(world, above))]


def differences(recorded: Mapping[str, Any], answered: Mapping[str, Any]) -> list[str]:
    """In what the answer has another shape; empty if in nothing."""
    shape = recorded["shape"]
    found = []
    if "links" in shape or not isinstance(shape["data"], list):
        found += _keys("document", set(shape) - {"included"}, set(answered) - {"included"})
        found += _keys("links", set(shape.get("links", {})) - PAGING, set(answered.get("links", {})) - PAGING)
    if "meta" in shape:
        meta = {name: one for name, one in answered["meta"].items() if name not in PAGING}
        found += _keys("meta", set(shape["meta"]), set(meta))
        for name in [name for name in shape["meta"] if name.startswith("can_")]:
            found += _keys(f"meta.{name}", set(shape["meta"][name]), set(meta.get(name, ())))
    is_pinned = recorded["version"] == load_catalog().entity("people.Person").api_version
    data = answered["data"] if isinstance(answered["data"], list) else [answered["data"]]
    for one in shape["data"] if isinstance(shape["data"], list) else [shape["data"]]:
        found += _records(one, data, is_pinned=is_pinned)
    included = answered.get("included", [])
    if included and "include=" not in recorded["query"]:
        found.append("document has included")
    for one in shape.get("included", []):
        found += _records(one, [each for each in included if each["type"] == one["type"]], is_pinned=is_pinned)
    return found


def _records(shape: Mapping[str, Any], records: list[dict[str, Any]], *, is_pinned: bool) -> list[str]:
    """Attributes and relationships are those of all records together: some come only where they are set."""
    where = shape["type"]
    if not records:
        return [f"{where}: there is none"]
    found = [told for one in records for told in _keys(where, set(shape), set(one)) if one["type"] == where]
    for member in ("attributes", "relationships", "links"):
        expected = shape.get(member, {})
        names = {name for one in records for name in one.get(member, {})}
        seen_or_known = names & set(expected) if member == "attributes" and not is_pinned else names
        found += _keys(f"{where}.{member}", set(expected), seen_or_known)
        found += [
            told
            for name, kind in expected.items()
            for one in records
            for told in _kinds(f"{where}.{member}.{name}", kind, one.get(member, {}).get(name))
        ]
    return sorted(set(found))


def _kinds(where: str, shape: Any, value: Any) -> list[str]:
    if shape is None or value is None or shape == {"data": None}:
        return []
    if isinstance(shape, dict) and isinstance(value, dict):
        is_unset = value == {"data": None}
        wrong = [] if is_unset else _keys(where, set(shape), set(value))
        return wrong + [told for name in shape for told in _kinds(f"{where}.{name}", shape[name], value.get(name))]
    if isinstance(shape, list) and isinstance(value, list):
        return [told for one in value for told in _kinds(f"{where}[]", shape[0] if shape else None, one)]
    known = {bool: "flag", int: "number", float: "number", str: "text"}.get(type(value), type(value).__name__)
    return [] if known == shape else [f"{where} is {known}, not {shape}"]


def _keys(where: str, expected: set[str], found: set[str]) -> list[str]:
    missing = [f"{where} lacks {name}" for name in sorted(expected - found)]
    return missing + [f"{where} has {name}" for name in sorted(found - expected)]
