"""The catalogue holds together: names, paths and filters of every entity."""

import pickle
import re

import pytest

from pco_catalog import Entity, UnknownEntity, load_catalog

ENTITIES = load_catalog().entities()


def entity(name: str) -> Entity:
    return load_catalog().entity(name)


def test_it_is_read_once_per_process() -> None:
    assert load_catalog() is load_catalog()
    assert entity("people.Person") is entity("people.Person")


def test_an_entity_is_what_pco_says_it_is() -> None:
    person = entity("people.Person")
    assert (person.product, person.resource, person.list_path) == ("people", "Person", "/people/v2/people")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", person.api_version)
    assert person.attributes["birthdate"].type == "date"
    assert not person.relationships["primary_campus"].many
    assert "created_at" in person.can_query_by & person.range_query_by


@pytest.mark.parametrize("described", ENTITIES, ids=lambda one: str(one.name))
def test_an_entity_fits_the_rest_of_the_catalogue(described: Entity) -> None:
    assert described.name == f"{described.product}.{described.resource}"
    assert all(path.startswith("/") and "/v2/" in path for path in described.list_paths)
    assert described.list_path is None or "{" not in described.list_path
    assert {"id", "org_id", "extra"}.isdisjoint(described.attributes)
    assert not any(name.startswith("_") for name in described.attributes)
    owners = {re.findall(r"{(\w+)_id}", path)[-1] for path in described.list_paths if "{" in path}
    assert {name for name, one in described.relationships.items() if not one.rendered} <= owners


def test_no_two_entities_share_a_table() -> None:
    tables = [(one.schema_name, one.table_name) for one in ENTITIES]
    assert len(set(tables)) == len(tables)
    assert "sync" not in {schema for schema, _ in tables}
    assert all(re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name) for table in tables for name in table)


@pytest.mark.parametrize(
    ("name", "table"),
    [("people.PhoneNumber", "phone_number"), ("people.Person", "person"), ("groups.GroupType", "group_type")],
)
def test_a_table_is_the_resource_in_snake_case(name: str, table: str) -> None:
    assert entity(name).table_name == table


def test_an_unknown_entity_comes_with_suggestions_and_survives_pickling() -> None:
    with pytest.raises(UnknownEntity, match=r"did you mean people\.Person") as caught:
        load_catalog().entity("people.Persons")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.suggestions == caught.value.suggestions
