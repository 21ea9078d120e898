"""The rules of due lists name what exists, and the cheapest chain is chosen among those that tell the same."""

import pytest

from pco_catalog.ancestors import columns_of, ids_in, own_ids
from pco_catalog.catalog import load_catalog
from pco_catalog.chains import chain_to
from pco_catalog.due_lists import HotWindow, cheapest_chain, load_due_rules
from pco_store.mirror.tables import mirror_table

CATALOG = load_catalog()
RULES = load_due_rules()


def test_every_rule_is_about_a_kind_that_is_listed_below_parents_only() -> None:
    for name in {*RULES.kinds, *RULES.rare}:
        assert CATALOG.entity(name).list_path is None, name
        assert CATALOG.entity(name).list_paths, name


@pytest.mark.parametrize("name", sorted(RULES.kinds))
def test_what_a_rule_says_of_a_parent_is_an_attribute_of_that_parent(name: str) -> None:
    rule = RULES.of(CATALOG.entity(name))
    for way in rule.ways or (None,):
        parent = chain_to(CATALOG, CATALOG.entity(name), way).levels[-1].parent
        to_many = {one for one, edge in parent.relationships.items() if edge.many}
        columns = set(mirror_table(parent).c.keys())
        if way is None or way == rule.ways[0]:
            assert set(rule.watch) <= columns | to_many
            assert rule.hot is None or rule.hot.at in columns
            assert rule.only_after is None or parent.attributes[rule.only_after].type == "date_time"
            assert rule.only is None or parent.attributes[rule.only].type == "boolean"


def test_what_names_a_parent_is_a_column_with_the_id_of_that_kind_and_is_read_before_it() -> None:
    """So that what a full sync wants is known when it begins to read the lists."""
    for name in sorted(RULES.kinds):
        rule = RULES.of(CATALOG.entity(name))
        parent = chain_to(CATALOG, CATALOG.entity(name)).levels[-1].parent
        for entity, column in rule.named_by:
            naming = CATALOG.entity(entity)
            assert column in mirror_table(naming).c
            assert naming.relationships[column.removesuffix("_id")].resource in (parent.resource, "Assignee")
            assert name in RULES.rare, "the stage after all that is not rare"


def test_a_full_sync_leaves_nothing_that_has_no_turn() -> None:
    partial = [name for name in RULES.kinds if not RULES.of(CATALOG.entity(name)).is_whole_in((), name)]
    for name in {*partial, *RULES.rare}:
        assert 1 <= RULES.of(CATALOG.entity(name)).every_days <= 56
    windows = {name: hot.full for name in partial if (hot := RULES.of(CATALOG.entity(name)).hot) is not None}
    assert all(full is not None and full[0] < full[1] for full in windows.values())


@pytest.mark.parametrize("name", [name for name in sorted(RULES.kinds) if RULES.of(CATALOG.entity(name)).ways])
def test_every_reviewed_way_tells_what_the_usual_one_tells(name: str) -> None:
    """What the records name themselves counts; a column that only one path knows must not be lost by the choice."""
    entity = CATALOG.entity(name)
    told = set(columns_of(entity).told)

    def tells(below: tuple[str, ...] | None) -> set[str]:
        level = chain_to(CATALOG, entity, below).levels[-1]
        return {one for one in own_ids(entity, level.path) if one in told} | {f"{one}_id" for one in level.include}

    usual = tells(None)
    for way in RULES.of(entity).ways:
        assert usual <= tells(way), way


def test_the_chain_with_the_fewest_lists_is_taken() -> None:
    entity = CATALOG.entity("check-ins.PersonEvent")
    few_events = {"check-ins.Event": 50, "check-ins.Person": 20_000}
    many_events = {"check-ins.Event": 50, "check-ins.Person": 3}
    assert cheapest_chain(CATALOG, entity, few_events).names == ["check-ins.Event"]
    assert cheapest_chain(CATALOG, entity, many_events).names == ["check-ins.Person"]


def test_where_nothing_is_counted_it_is_the_first_reviewed_chain_and_without_review_the_usual_one() -> None:
    assert cheapest_chain(CATALOG, CATALOG.entity("check-ins.PersonEvent"), {}).names == ["check-ins.Event"]
    note = CATALOG.entity("people.WorkflowCardNote")
    assert cheapest_chain(CATALOG, note, {"people.Person": 3}).names == chain_to(CATALOG, note).names


def test_a_hot_list_may_wait_until_the_next_of_its_days() -> None:
    day = 86_400
    assert HotWindow(at="starts_at", days=(1, 2, 3, 7)).paces(14 * day) == (day, day, 4 * day, 14 * day)
    assert HotWindow(at="starts_at", days=(-3, -1, 1)).paces(56 * day) == (2 * day, 2 * day, 56 * day)


def test_what_is_wanted_comes_first_and_rare_kinds_last() -> None:
    kinds = sorted((one for one in CATALOG.entities() if one.list_path is None), key=RULES.rank)
    names = [one.name for one in kinds]
    assert names[0] == "groups.Membership"
    assert names.index("groups.Attendance") < names.index("giving.Designation") < names.index("services.Item")
    assert set(names[-len(RULES.rare) :]) == RULES.rare


def test_every_list_of_every_chain_can_be_named_by_what_its_parent_s_row_knows_or_its_links() -> None:
    """Only the sheets of sign-ups are shared by all the ids above them."""
    by_links = set()
    for entity in (one for one in CATALOG.entities() if one.list_path is None and one.list_paths):
        level = cheapest_chain(CATALOG, entity, {}).levels[-1]
        if not set(ids_in(level.path)[:-1]) <= set(mirror_table(level.parent).c.keys()):
            by_links.add(entity.name)
    assert by_links == {"services.ScheduledPerson", "services.SignupSheetMetadata"}
