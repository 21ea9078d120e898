"""Patterns choose entities, and one that is misspelt is refused."""

import pytest

from pco_catalog.catalog import load_catalog
from pco_catalog.patterns import PatternMatchesNothingError, select_entities

CATALOG = load_catalog()


def chosen(*include: str, exclude: tuple[str, ...] = ()) -> set[str]:
    return {one.name for one in select_entities(CATALOG, include, exclude)}


def test_nothing_said_is_everything_that_is_listed() -> None:
    assert chosen() == {one.name for one in CATALOG.entities()}


def test_a_product_a_resource_and_a_pattern() -> None:
    assert chosen("giving") == chosen("giving.*") == {name for name in chosen() if name.startswith("giving.")}
    assert chosen("People.Person") == {"people.Person"}
    assert chosen("*.Person") == {name for name in chosen() if name.endswith(".Person")}


def test_what_is_excluded_is_left_out() -> None:
    assert chosen("groups", exclude=("groups.Tag*", "*.Person")) == {
        name for name in chosen("groups") if not name.startswith("groups.Tag") and name != "groups.Person"
    }


@pytest.mark.parametrize(
    ("include", "exclude", "told"),
    [
        (["givng"], [], "did you mean giving"),
        (["people"], ["people.Persn"], "people.Person"),
        (["zzz"], [], "products:"),
    ],
)
def test_a_pattern_that_fits_nothing_is_refused(include: list[str], exclude: list[str], told: str) -> None:
    with pytest.raises(PatternMatchesNothingError, match="fits nothing in the catalogue") as caught:
        select_entities(CATALOG, include, exclude)
    assert told in str(caught.value)


def test_a_kind_that_pco_lists_nowhere_is_refused_with_the_place_where_it_is_shown() -> None:
    told = r"people\.ListStar is not mirrored: PCO lists it nowhere, and shows it only at /people/v2/lists/"
    with pytest.raises(PatternMatchesNothingError, match=told):
        select_entities(CATALOG, ["people.liststar"], [])
    with pytest.raises(PatternMatchesNothingError, match="shows it with others only"):
        select_entities(CATALOG, ["services.FolderPath"], [])
