"""A record has one hash, whatever the request's shape was, and another one as soon as PCO shows another value."""

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from pco_catalog.catalog import Entity, load_catalog
from pco_client.documents import read_resource
from pco_store.mirror.upsert_rules import HASH_BYTES
from tasks.rows.content_hash import content_hash

CATALOG = load_catalog()
EVERY_KIND = CATALOG.entities()
VALUES: tuple[Any, ...] = (None, True, 0, -(2**66), 1.5, "", "Zoë \ud800", "2026-01-01T00:00:00Z", [1, None], {"a": []})


def hash_of(record: Mapping[str, Any], entity: Entity) -> bytes:
    return content_hash(read_resource(record, expected_type=entity.resource), entity)


def pointer(entity: Entity, name: str, number: int) -> dict[str, Any]:
    """What PCO renders of a relationship."""
    one = entity.relationships[name]
    data = {"type": one.resource, "id": str(number)}
    return {"data": [data] if one.many else data}


def shown(entity: Entity, draw: Random) -> dict[str, Any]:
    """A record as a plain list shows it: no attribute on request, no relationship that PCO does not render."""
    attributes = {name: draw.choice(VALUES) for name, one in entity.attributes.items() if not one.on_request}
    relationships = {
        name: pointer(entity, name, draw.randint(1, 9))
        for name, one in entity.relationships.items()
        if one.is_always_rendered
    }
    return {"type": entity.resource, "id": "1", "attributes": attributes, "relationships": relationships}


def with_every_include(record: Mapping[str, Any], entity: Entity) -> dict[str, Any]:
    included = {
        name: {"data": [{"type": "Anything", "id": "7"}]} for name in entity.can_include - set(entity.relationships)
    }
    return {**record, "relationships": {**included, **record["relationships"]}}


def with_all_fields(record: Mapping[str, Any], entity: Entity) -> dict[str, Any]:
    on_request = {name: "requested" for name, one in entity.attributes.items() if one.on_request}
    return {**record, "attributes": {**on_request, **record["attributes"]}}


def alone(record: Mapping[str, Any], _: Entity) -> dict[str, Any]:
    """As a single document shows it: members in another order, links everywhere, the id as a number."""
    attributes = dict(reversed(record["attributes"].items()))
    relationships = {
        name: {"links": {"related": f"https://api.example/{name}"}, **one}
        for name, one in reversed(record["relationships"].items())
    }
    links = {"self": "https://api.example/1"}
    return {**record, "id": 1, "attributes": attributes, "relationships": relationships, "links": links}


@pytest.mark.parametrize("seed", range(5))
def test_a_record_of_any_kind_has_the_same_hash_in_every_shape_of_request(seed: int) -> None:
    draw = Random(seed)
    for entity in EVERY_KIND:
        record = shown(entity, draw)
        expected = hash_of(record, entity)
        assert len(expected) == HASH_BYTES
        for shape in (with_every_include, with_all_fields, alone):
            assert hash_of(shape(record, entity), entity) == expected, (entity.name, shape.__name__)
        everything = alone(with_all_fields(with_every_include(record, entity), entity), entity)
        assert hash_of(everything, entity) == expected, entity.name


@pytest.mark.parametrize("seed", range(3))
def test_any_change_of_what_pco_always_renders_makes_another_hash(seed: int) -> None:
    draw = Random(seed)
    for entity in EVERY_KIND:
        record = shown(entity, draw)
        before = hash_of(record, entity)
        for name in record["attributes"]:
            changed = {**record, "attributes": {**record["attributes"], name: "changed"}}
            assert hash_of(changed, entity) != before, (entity.name, name)
        for name in record["relationships"]:
            for other in (pointer(entity, name, 10), {"data": None}):
                changed = {**record, "relationships": {**record["relationships"], name: other}}
                assert hash_of(changed, entity) != before, (entity.name, name)
        more = {**record, "attributes": {**record["attributes"], "unheard_of": 1}}
        assert hash_of(more, entity) != before, entity.name


def test_a_value_that_is_absent_and_one_that_is_null_are_the_same() -> None:
    entity = CATALOG.entity("people.Person")
    record: dict[str, Any] = {"type": "Person", "id": "1", "attributes": {"first_name": "Ada"}, "relationships": {}}
    null = {**record["attributes"], "last_name": None, "unheard_of": None}
    assert hash_of({**record, "attributes": null}, entity) == hash_of(record, entity)


def test_a_relationship_that_is_left_out_and_one_that_is_null_are_not_the_same() -> None:
    entity = CATALOG.entity("people.HouseholdMembership")
    record: dict[str, Any] = {"type": "HouseholdMembership", "id": "1", "attributes": {}, "relationships": {}}
    unset = {"person": {"data": None}}
    only_links = {"person": {"links": {"related": "https://api.example/7"}}}
    assert hash_of({**record, "relationships": unset}, entity) != hash_of(record, entity)
    assert hash_of({**record, "relationships": only_links}, entity) == hash_of(record, entity)
