"""What docs/catalog.md says of the catalogue is what stands in it, and code reads what the catalogue offers."""

import ast
import dataclasses
import re
from collections import Counter
from pathlib import Path

import pytest

from pco_catalog.catalog import Attribute, Catalog, Entity, Relationship, load_catalog
from pco_catalog.changes import can_be_ranged, delta_attribute
from pco_simulator.contents.edges import Edges
from tests.house.project import ROOT, files, layers, syntax

PAGE = re.sub(r"\s+", " ", (ROOT / "docs/catalog.md").read_text(encoding="utf-8"))
CATALOG = load_catalog()
TOP = CATALOG.entities(top_level_only=True)


def test_the_table_of_products_is_right() -> None:
    every, listed, top = (
        Counter(one.product for one in entities) for entities in (CATALOG.by_name.values(), CATALOG.entities(), TOP)
    )
    versions = {one.product: one.api_version for one in CATALOG.by_name.values()}
    for product, version in versions.items():
        assert f"| {product} | {version} | {every[product]} | {listed[product]} | {top[product]} |" in PAGE
    assert f"| **all** | | **{every.total()}** | **{listed.total()}** | **{top.total()}** |" in PAGE
    assert f"{len(versions)} products, {every.total()} resources" in PAGE


def test_the_numbers_of_walks_and_deltas_are_right() -> None:
    ranged = sum(can_be_ranged(one, "created_at") for one in TOP)
    filtered = sum(can_be_ranged(one, "updated_at") for one in TOP)
    by_change = sum(delta_attribute(one) == "updated_at" for one in TOP)
    all_deltas = sum(delta_attribute(one) is not None for one in TOP)
    assert f"({ranged} of the {len(TOP)})" in PAGE
    assert (
        f"possible for {all_deltas} of the {len(TOP)} lists: {filtered} can be filtered by `updated_at`, "
        f"{by_change - filtered} can only be ordered by it, newest first, and {all_deltas - by_change} hold"
    ) in PAGE


def test_every_kind_that_is_listed_nowhere_is_named_with_what_is_planned_and_no_other() -> None:
    section = PAGE.partition("## What is not mirrored")[2]
    named = set(re.findall(r"`([a-z-]+\.[A-Z]\w+)`", section.rpartition("|")[0]))
    unlisted = {one.name for one in CATALOG.by_name.values() if not one.list_paths}
    assert named == unlisted
    assert f"lists {len(unlisted)} of the {len(CATALOG.by_name)} kinds nowhere" in section
    assert f"{sum(not one.is_mirrored for one in CATALOG.by_name.values())} have none" in section


def test_what_can_be_included_is_mirrored_or_planned() -> None:
    edges = Edges(CATALOG, seed=1)
    reached = {
        edge.target
        for one in CATALOG.entities()
        for name, edge in edges.of(one).items()
        if name in one.can_include and edge.target and not CATALOG.entity(edge.target).list_paths
    }
    section = PAGE.partition("## What is not mirrored")[2]
    mirrored, planned = (
        set(re.findall(r"`([a-z-]+\.[A-Z]\w+)`", next(row for row in section.split("| |") if word in row)))
        for word in ("**Mirrored**", "**Planned**")
    )
    assert mirrored | planned == reached
    assert mirrored == {one for one in reached if CATALOG.entity(one).is_mirrored}


def test_the_key_of_every_fact_is_explained() -> None:
    keys = PAGE.partition("## What an entry says")[2].partition("## How it is read")[0]
    for one in dataclasses.fields(Entity):
        if one.name not in {"name", "product", "resource", "api_version", "list_path"}:
            assert f"`{one.name}`" in keys


@pytest.mark.parametrize("described", [Attribute, Relationship, Entity, Catalog])
def test_every_fact_is_read_by_code_outside_the_catalogue(described: type) -> None:
    read = {node.attr for path in _code() for node in ast.walk(syntax(path)) if isinstance(node, ast.Attribute)}
    called = {node.id for path in _code() for node in ast.walk(syntax(path)) if isinstance(node, ast.Name)}
    by_method = {"filters", "filters_by_path"} if "filters_at" in read else set()
    by_method |= {"shared_ids"} if "is_shared" in called else set()
    by_method |= {"incremental"} if "delta_attribute" in called else set()
    assert {one.name for one in dataclasses.fields(described)} - read - by_method == set()


def _code() -> list[Path]:
    return [path for path in files(".py") if path.parts[0] in set(layers()) - {"pco_catalog"}]
