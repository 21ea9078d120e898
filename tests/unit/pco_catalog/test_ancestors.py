"""Every id in the path of a list is a column of its records, or says of itself that they share it with others."""

from collections import Counter

import pytest

from pco_catalog.ancestors import columns_of, ids_in, is_shared, own_ids, own_ids_in
from pco_catalog.catalog import Entity, load_catalog
from pco_store.mirror.links import name_of_list, shared_list
from pco_store.mirror.tables import mirror_table

CATALOG = load_catalog()
BELOW = [(entity, path) for entity in CATALOG.entities() for path in entity.list_paths if "{" in path]


@pytest.mark.parametrize(("entity", "path"), BELOW, ids=[path for _, path in BELOW])
def test_every_id_in_a_path_is_a_column_of_the_row_or_part_of_a_link(entity: Entity, path: str) -> None:
    own, names = own_ids(entity, path), ids_in(path)
    assert set(own) <= set(mirror_table(entity).columns.keys())
    assert (set(own) == set(names)) != is_shared(entity, path)
    assert entity.shared_ids.get(path, frozenset()) <= set(names)


def test_what_is_reviewed_as_shared_is_in_the_catalogue() -> None:
    alone = {path for entity in CATALOG.entities() for path in entity.single_paths}
    paths = {path for _, path in BELOW} | alone
    named = [path for entity in CATALOG.entities() for path in entity.shared_ids]
    assert set(named) <= paths
    assert len(named) > 50


def test_the_name_of_a_shared_list_is_unique_among_those_of_its_entity() -> None:
    counted = Counter((entity.name, *name_of_list(path)) for entity, path in BELOW if is_shared(entity, path))
    assert {name for name, count in counted.items() if count > 1} == set()


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("giving.PaymentMethod", {"person_id"}),
        ("giving.Designation", {"donation_id"}),
        ("people.HouseholdMembership", {"household_id"}),
        ("services.PlanTime", {"service_type_id", "plan_id"}),
        ("services.Email", {"person_id"}),
        ("check-ins.Location", {"event_id", "location_id"}),
        ("check-ins.PersonEvent", {"event_id", "person_id"}),
        ("calendar.EventTime", {"event_instance_id"}),
        ("publishing.EpisodeTime", {"episode_id"}),
        ("registrations.SelectionType", {"signup_id"}),
        ("groups.Tag", set()),
    ],
)
def test_what_only_the_path_tells_is_a_column_that_not_every_way_knows(name: str, columns: set[str]) -> None:
    entity = CATALOG.entity(name)
    known = columns_of(entity)
    assert set(known.told) & set(known.ancestors) == columns
    assert set(mirror_table(entity).info["told"]) >= columns


def test_an_id_that_many_records_share_is_no_value_of_any_of_them() -> None:
    entity = CATALOG.entity("check-ins.CheckIn")
    path = "/check-ins/v2/events/{event_id}/locations/{location_id}/check_ins"
    assert own_ids_in(entity, path, "3/4") == {"event": "3"}
    at = shared_list(entity, path, org_id="grace", scope="3/4")
    assert at is not None
    assert (at.parent, at.list, at.scope) == ("location", "check_ins", "3/4")


def test_a_relationship_that_pco_renders_on_request_is_told_and_no_record_leaves_it_out() -> None:
    columns = columns_of(load_catalog().by_name["people.Person"])
    assert "created_by_id" in columns.told
    assert "created_by" not in columns.pointers
    assert "created_by" not in columns.rendered
