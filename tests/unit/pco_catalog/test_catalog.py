"""The catalogue holds together: names, paths and filters of every entity."""

import json
import pickle
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest

from pco_catalog import Entity, UnknownEntity, load_catalog
from pco_catalog.catalog import read_catalog

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


def test_filters_are_those_of_the_list() -> None:
    person, definition = entity("people.Person"), entity("people.FieldDefinition")
    assert "admins" in person.filters_at("/people/v2/people")
    assert person.filters_at("/people/v2/households/12/people") == {"non_pending", "without_deceased"}
    assert person.filters_at("/people/v2/lists/12/people") == frozenset()
    assert definition.filters_at("/people/v2/tabs/3/field_definitions") == {"with_deleted"}
    assert "attended" in entity("groups.Attendance").filters_at("/groups/v2/events/5/attendances")


def test_what_is_not_rendered_or_only_on_request_is_not_always_there() -> None:
    assert entity("people.Person").relationships["primary_campus"].is_always_rendered
    assert not entity("people.Person").relationships["created_by"].is_always_rendered
    assert not entity("giving.Designation").relationships["donation"].is_always_rendered


def test_field_data_can_be_read_by_the_time_of_change_in_the_pinned_version() -> None:
    datum = entity("people.FieldDatum")
    assert datum.api_version == "2026-06-04"
    assert "updated_at" in datum.can_query_by & datum.range_query_by
    assert datum.attributes["file"].type == "json"


def test_every_pinned_version_is_a_known_one() -> None:
    catalog = load_catalog()
    assert all(one.api_version in catalog.versions[one.product] for one in catalog.by_name.values())
    assert all(list(known) == sorted(known) for known in catalog.versions.values())


class Noted(dict[str, Any]):
    """A JSON object that notes which of its members were read."""

    def __init__(self, *members: Any) -> None:
        super().__init__(*members)
        self.was_read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.was_read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.was_read.add(name)
        return super().get(name, default)

    def items(self) -> Any:
        self.was_read |= self.keys()
        return super().items()

    def unread(self) -> Iterator[str]:
        """The members that were not read, of this object and of those in it."""
        yield from self.keys() - self.was_read
        for one in self.values():
            if isinstance(one, Noted):
                yield from one.unread()


def test_no_fact_in_the_file_is_dead() -> None:
    text = resources.files("pco_catalog").joinpath("catalog.json").read_text(encoding="utf-8")
    described = json.loads(text, object_hook=Noted)
    read_catalog(described)
    assert set(described.unread()) == set()


def test_an_unknown_entity_comes_with_suggestions_and_survives_pickling() -> None:
    with pytest.raises(UnknownEntity, match=r"did you mean people\.Person") as caught:
        load_catalog().entity("people.Persons")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.suggestions == caught.value.suggestions
