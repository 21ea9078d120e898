"""A page's identity: its name in the UI, and the key under which its receipt is cached."""

from dataclasses import fields, replace
from typing import Any

import pytest

from tasks.pages.page_ref import PageRef

PAGE = PageRef(
    org_id="grace", entity="people.Person", scope="", epoch="turn-1", token="t", offset=300, size=100, reading=1
)


def test_a_page_is_titled_by_entity_church_and_offset() -> None:
    assert PAGE.title == "people.Person org=grace offset=300"


def test_the_title_says_below_which_parent_and_which_reading_it_is_when_that_matters() -> None:
    assert replace(PAGE, scope="17", reading=2).title == "people.Person org=grace scope=17 offset=300 reading=2"


@pytest.mark.parametrize("part", [one.name for one in fields(PageRef)])
def test_every_part_of_the_identity_makes_another_cache_key(part: str) -> None:
    value = getattr(PAGE, part)
    changed: Any = value + 1 if isinstance(value, int) else value + ("x" if isinstance(value, str) else ("x",))
    other = replace(PAGE, **{part: changed})
    assert other.cache_key != PAGE.cache_key


def test_the_same_page_has_the_same_cache_key_in_every_process() -> None:
    assert PAGE.cache_key == "pco-sync/page/grace/people.Person//turn-1/0/300+100/1/t"
