"""In which order the lists of a church are read."""

from pco_catalog.catalog import load_catalog
from pco_walks.ways import ways_of
from tasks.lists.church_lists import LISTS_AT_A_TIME, in_turn


def test_the_first_lists_are_of_as_many_products_as_there_are() -> None:
    """Else one product that is silent would look like a church that is."""
    catalog = load_catalog()
    entities = catalog.entities(top_level_only=True)
    known = {one.name for one in entities}
    top, _ = ways_of(catalog, entities, mode="delta", known=known, counts={}, include=())
    turns = in_turn(top, first=known)
    assert sorted(one.entity.name for one in turns) == sorted(one.entity.name for one in top)
    products = {one.entity.product for one in top}
    assert len(products) > 4
    assert len({one.entity.product for one in turns[:LISTS_AT_A_TIME]}) == min(len(products), LISTS_AT_A_TIME)
    for product in products:
        of_it = [[way for way in ways if way.entity.product == product] for ways in (turns, top)]
        assert of_it[0] == of_it[1], "what is wanted most is first"


def test_what_is_open_already_comes_first() -> None:
    catalog = load_catalog()
    entities = catalog.entities(top_level_only=True)
    top, _ = ways_of(catalog, entities, mode="full", known=set(), counts={}, include=())
    last = [one.entity.name for one in top][-3:]
    assert {one.entity.name for one in in_turn(top, first=last)[:3]} == set(last)
