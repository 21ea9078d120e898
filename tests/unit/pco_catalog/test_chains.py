"""Which lists lead to an entity that PCO shows only below its parents."""

import pytest

from pco_catalog.catalog import UnknownEntity, load_catalog
from pco_catalog.chains import Chain, NoChainError, chain_to, level_of_list, parents_of

CATALOG = load_catalog()
ONLY_BELOW = [
    one for one in CATALOG.entities() if one.list_path is None and any("{" in path for path in one.list_paths)
]


def chain(name: str, *below: str) -> Chain:
    return chain_to(CATALOG, CATALOG.entity(name), below or None)


def told(name: str, below: list[str] | None) -> str:
    with pytest.raises(NoChainError) as caught:
        chain_to(CATALOG, CATALOG.entity(name), below)
    return str(caught.value)


def without_chain() -> dict[str, str]:
    """The entities that cannot be reached from any list at top level, and what is said of them."""
    found = {}
    for entity in ONLY_BELOW:
        try:
            chain_to(CATALOG, entity)
        except NoChainError as error:
            found[entity.name] = str(error)
    return found


def test_every_entity_that_is_listed_only_below_parents_has_a_chain() -> None:
    assert len(ONLY_BELOW) > 50
    assert without_chain() == {}


def test_every_chain_begins_at_top_level_and_each_level_knows_the_ids_the_next_one_asks_for() -> None:
    for entity in ONLY_BELOW:
        found = chain_to(CATALOG, entity)
        assert found.root.list_path is not None, entity.name
        assert found.levels[-1].entity is entity
        scope = ""
        for upper, level in enumerate(found.levels):
            if upper:
                assert level.parent is found.levels[upper - 1].entity, entity.name
            scope = level.scope_below(scope, str(100 + upper))
            path = level.path_of(scope)
            assert "{" not in path, (entity.name, path)
            assert f"/{100 + upper}/" in path, (entity.name, path)


def test_every_parent_that_is_listed_leads_to_its_children() -> None:
    """What an error names as a possible parent is one."""
    for entity in ONLY_BELOW:
        for parent in parents_of(CATALOG, entity):
            if CATALOG.entity(parent).list_path is not None:
                assert chain(entity.name, parent).names == [parent]


@pytest.mark.parametrize(
    ("entity", "below", "paths"),
    [
        ("groups.Event", (), ["/groups/v2/groups/{group_id}/events"]),
        ("groups.Membership", (), ["/groups/v2/groups/{group_id}/memberships"]),
        ("groups.Attendance", (), ["/groups/v2/events/{event_id}/attendances"]),
        (
            "groups.Attendance",
            ("groups.Group", "groups.Event"),
            ["/groups/v2/groups/{group_id}/events", "/groups/v2/events/{event_id}/attendances"],
        ),
        ("people.HouseholdMembership", (), ["/people/v2/households/{household_id}/household_memberships"]),
    ],
)
def test_the_chains_that_churches_ask_for_most(entity: str, below: tuple[str, ...], paths: list[str]) -> None:
    found = chain(entity, *below)

    assert [level.path for level in found.levels] == paths
    assert found.names == list(below) or not below


def test_the_children_of_one_level_are_the_parents_of_the_next() -> None:
    found = chain("groups.Attendance", "groups.Group", "groups.Event")
    events, attendances = found.levels

    assert found.root.name == "groups.Group"
    assert found.level_of("groups.Event") is events
    assert found.below("groups.Group") is events
    assert found.below("groups.Event") is attendances
    assert found.below("groups.Attendance") is None
    assert events.scope_below("", "12") == "12"
    assert events.path_of("12") == "/groups/v2/groups/12/events"
    assert attendances.scope_below("12", "345") == "345", "an event is the same whichever group showed it"
    assert attendances.path_of("345") == "/groups/v2/events/345/attendances"
    assert attendances.parents_of("345") == {"event": "345"}


def test_a_list_that_needs_the_ids_of_all_its_parents_gets_them_outermost_first() -> None:
    deep = [level for entity in ONLY_BELOW for level in chain_to(CATALOG, entity).levels if level.depth > 1]
    assert deep, "the catalogue has such lists"
    for level in deep:
        ids = [str(number) for number in range(1, level.depth + 1)]
        scope = level.scope_below("/".join(ids[:-1]), ids[-1])
        assert scope == "/".join(ids)
        path = level.path_of(scope)
        assert [path.index(f"/{one}/") for one in ids] == sorted(path.index(f"/{one}/") for one in ids)


def test_parents_that_do_not_lead_there_are_told_with_those_that_do() -> None:
    assert told("groups.Membership", ["people.Person"]) == (
        "below: people.Person does not lead to groups.Membership, which PCO lists below groups.Group or groups.Person; "
        "name the parents outermost first"
    )
    assert "groups.Event > groups.Group does not lead to" in told("groups.Attendance", ["groups.Event", "groups.Group"])


def test_what_cannot_come_first_is_told() -> None:
    assert told("groups.Membership", ["groups.Attendance"]) == (
        "below: groups.Attendance is not listed at top level, so it cannot come first"
    )


def test_an_empty_list_of_parents_and_an_entity_without_parents_are_told() -> None:
    assert told("groups.Membership", []) == "below: name at least one parent, or leave it out"
    assert told("groups.GroupType", None) == "groups.GroupType is not listed below any parent"


def test_a_parent_that_does_not_exist_is_told_as_any_unknown_entity() -> None:
    with pytest.raises(UnknownEntity, match=r"groups\.Grup"):
        chain("groups.Membership", "groups.Grup")


def test_an_entity_that_is_not_on_the_way_is_told() -> None:
    with pytest.raises(NoChainError, match=r"people\.Person is not on the way groups\.Group > groups\.Membership"):
        chain("groups.Membership").level_of("people.Person")


def test_a_run_has_listed_an_entity_by_the_level_of_its_fan_out_or_by_the_usual_one() -> None:
    """One household and one person may have the same id, and both list memberships."""
    membership = CATALOG.entity("people.HouseholdMembership")
    below_people = level_of_list(CATALOG, membership, final_entity=membership.name, below=["people.Person"])
    usual = level_of_list(CATALOG, membership)
    assert below_people is not None
    assert usual is not None
    assert below_people.parents_of("12") == {"person": "12"}
    assert usual.parents_of("12") == {"household": "12"}


def test_a_list_that_the_catalogue_does_not_know_any_more_has_no_level() -> None:
    membership = CATALOG.entity("people.HouseholdMembership")
    assert level_of_list(CATALOG, membership, final_entity="people.Gone", below=["people.Person"]) is None
    assert level_of_list(CATALOG, CATALOG.entity("people.Person"), final_entity=membership.name) is None
