"""Every include by which a kind is read is one that PCO has, and that brings all of its records."""

import json
from importlib import resources

import pytest

from pco_catalog.ancestors import columns_of
from pco_catalog.catalog import Sideload, load_catalog
from pco_catalog.chains import spread_for
from pco_catalog.due_lists import cheapest_chain

CATALOG = load_catalog()
SIDELOADS = [one for several in CATALOG.sideloads.values() for one in several]
REVIEWED = json.loads(resources.files("pco_catalog").joinpath("sideloads.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("one", SIDELOADS, ids=lambda one: f"{one.owner}.{one.include}")
def test_an_include_is_one_that_its_list_has(one: Sideload) -> None:
    owner, entity = CATALOG.entity(one.owner), CATALOG.entity(one.entity)
    outer, _, last = one.include.rpartition(".")
    holder = next((CATALOG.entity(other.entity) for other in SIDELOADS if other.include == outer), owner)
    assert last in holder.can_include
    assert one.path in (*entity.list_paths, *entity.single_paths)
    assert entity.sideload == one
    assert one.is_below(owner.list_path or cheapest_chain(CATALOG, owner, {}).levels[-1].path)
    assert one.path.startswith(f"{one.owner_path}/")


def test_a_kind_is_read_in_one_such_way_and_in_no_list_at_top_level() -> None:
    kinds = [one.entity for one in SIDELOADS]
    assert len(kinds) == len(set(kinds))
    assert not [kind for kind in kinds if CATALOG.entity(kind).list_path is not None]


def test_outer_includes_come_first() -> None:
    for several in CATALOG.sideloads.values():
        includes = [one.include for one in several]
        assert all(outer in includes[:place] for place, one in enumerate(includes) if (outer := one.rpartition(".")[0]))


def test_what_brings_only_a_part_is_not_read_so() -> None:
    for owner, includes in REVIEWED["partial"].items():
        read = {one.include for one in CATALOG.sideloads.get(owner, ())}
        assert includes.keys() <= CATALOG.entity(owner).can_include
        assert read.isdisjoint(includes)
        assert all(includes.values()), "each says why"


def test_the_owner_is_a_column_unless_many_share_the_record() -> None:
    shared = {
        one.entity for one in SIDELOADS if one.owner_column not in columns_of(CATALOG.entity(one.entity)).ancestors
    }
    assert shared == {"groups.Location"}


def test_a_kind_that_exists_only_with_others_has_a_table_by_it() -> None:
    assert CATALOG.entity("giving.Refund").is_mirrored
    assert not CATALOG.entity("giving.Refund").list_paths


def test_an_owner_below_parents_brings_it_with_those_lists_only_that_its_path_means() -> None:
    plans = "/services/v2/service_types/{service_type_id}"
    item = CATALOG.entity("services.Item")
    brought = CATALOG.brought_by("services.Item", path=f"{plans}/plans/{{plan_id}}/items")
    assert [one.include for one in brought] == ["item_assignments", "item_notes", "item_times"]
    assert f"{plans}/plan_templates/{{plan_template_id}}/items" in item.list_paths
    assert CATALOG.brought_by("services.Item", path=f"{plans}/plan_templates/{{plan_template_id}}/items") == ()
    assert CATALOG.brought_by("services.Item") == ()
    (notes,) = (one for one in brought if one.include == "item_notes")
    assert notes.scope_of("1/22", "333") == "1/22/333"


def test_what_comes_with_owners_below_parents_is_read_by_their_lists_unless_parents_are_named() -> None:
    assert spread_for(CATALOG, "services.ItemNote", None) == "services.Item"
    assert spread_for(CATALOG, "services.ItemNote", ["services.ServiceType", "services.Plan", "services.Item"]) == (
        "services.ItemNote"
    )
    assert spread_for(CATALOG, "giving.Designation", None) == "giving.Designation", "its owners have a list"
    assert spread_for(CATALOG, "groups.Membership", None) == "groups.Membership"
