"""A good answer becomes a page: where the next one starts, what PCO counts and allows, and every value exactly."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pco_client import MalformedRecord, Page, PageRequest, read_resource
from pco_client.documents import read_json
from pco_client.errors import UnexpectedDocument
from pco_client.sansio import HttpResponse, read_document, read_list
from tests.unit.pco_client.answers import JSON_API, PEOPLE, answer, answer_bytes, list_document, person


def read(response: HttpResponse, *, offset: int = 0, per_page: int = 100) -> Page:
    request = PageRequest(path=PEOPLE.path, api_version=PEOPLE.api_version, offset=offset, per_page=per_page)
    return read_list(response, request=request, expected_type="Person")


def test_a_page_is_read_with_everything_it_says() -> None:
    headers = JSON_API | {"x-pco-api-processed-as-version": "2025-11-10"}
    document = list_document(
        [person("1"), person("2")],
        total_count=5,
        next={"offset": 4},
        can_query_by=["id", "status"],
        can_order_by=["created_at"],
    )
    page = read(answer(200, document | {"included": [person("9")]}, headers=headers), offset=2)
    assert page.records == (person("1"), person("2"))
    assert (page.offset, page.next_offset, page.total_count, len(page.included)) == (2, 4, 5, 1)
    assert page.can_query_by == frozenset({"id", "status"})
    assert page.can_order_by == frozenset({"created_at"})
    assert (page.request_id, page.processed_as_version) == ("req-1", "2025-11-10")
    assert (page.rate.limit, page.rate.period_seconds, page.rate.count) == (100, 20, 9)


def test_a_page_without_next_is_the_last_one() -> None:
    assert read(answer(200, list_document([]))).next_offset is None


@pytest.mark.parametrize(
    ("rows", "per_page", "total", "following"),
    [
        (2, 2, None, 12),
        (2, 2, 13, 12),
        (2, 2, 12, None),
        (1, 2, None, None),
        (1, 1, None, 11),
        (100, 500, None, 110),
        (99, 500, None, None),
    ],
)
def test_a_full_page_that_names_no_next_one_ends_the_list_only_if_its_count_says_so(
    rows: int, per_page: int, total: int | None, following: int | None
) -> None:
    """Links and counts were missing on groups (#1386)."""
    document = list_document([person(str(one)) for one in range(rows)], total_count=total)
    assert read(answer(200, document), offset=10, per_page=per_page).next_offset == following


@pytest.mark.parametrize("meta", [None, [], "none", {}])
def test_a_page_that_says_nothing_about_itself_is_read_all_the_same(meta: object) -> None:
    page = read(answer(200, {"data": [person("1")], "meta": meta}))
    assert page.records == (person("1"),)
    assert (page.total_count, page.next_offset, page.can_query_by, page.can_order_by) == (None, None, None, None)


@pytest.mark.parametrize("count", [None, "5", 5.5, True, [5], -1, 100_000_001, 10**30])
def test_a_count_that_is_no_count_is_none(count: object) -> None:
    assert read(answer(200, list_document([], total_count=count))).total_count is None


@pytest.mark.parametrize("count", [0, 1, 100_000_000])
def test_a_count_that_can_be_is_taken_as_it_is(count: int) -> None:
    assert read(answer(200, list_document([], total_count=count))).total_count == count


@pytest.mark.parametrize("following", [100_000_001, 10**30])
def test_a_next_page_beyond_all_lists_is_an_error_and_no_end(following: int) -> None:
    with pytest.raises(UnexpectedDocument, match="the next offset is beyond"):
        read(answer(200, list_document([person("1")], next={"offset": following})))
    at_the_border = list_document([person("1")], next={"offset": 100_000_000})
    assert read(answer(200, at_the_border)).next_offset == 100_000_000


@pytest.mark.parametrize(
    "link",
    [
        "https://api.planningcenteronline.com/people/v2/people?offset=200&per_page=100",
        "https://api.planningcenteronline.com/people/v2/people?per_page=100&offset=200",
        "https://api.planningcenteronline.com/people/v2/people?per_page=100&offset=200&order=name",
    ],
)
def test_where_only_a_link_leads_on_its_offset_is_taken(link: str) -> None:
    document = {"links": {"self": "x", "next": link}, "data": [person("1")], "meta": {"total_count": 300}}
    assert read(answer(200, document), offset=100).next_offset == 200


def test_the_offset_of_meta_beats_the_one_of_the_link() -> None:
    document = list_document([person("1")], next={"offset": 100})
    document["links"] = {"next": "https://api.planningcenteronline.com/people/v2/people?offset=500&per_page=500"}
    assert read(answer(200, document), per_page=500).next_offset == 100


def test_ids_are_text_also_where_pco_sends_numbers() -> None:
    resource = read_resource({"type": "PersonMerger", "id": 12345678901234567890}, expected_type="PersonMerger")
    assert resource.id == "12345678901234567890"
    assert (resource.attributes, resource.relationships) == ({}, {})


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ("Ada", "data"),
        (None, "data"),
        ({"type": "Email", "id": "1"}, "type"),
        ({"id": "1"}, "type"),
        ({"type": "Person"}, "id"),
        ({"type": "Person", "id": ""}, "id"),
        ({"type": "Person", "id": None}, "id"),
        ({"type": "Person", "id": True}, "id"),
        ({"type": "Person", "id": 1.5}, "id"),
        ({"type": "Person", "id": "1", "attributes": ["Ada"]}, "attributes"),
        ({"type": "Person", "id": "1", "relationships": "Ada"}, "relationships"),
    ],
)
def test_a_record_that_is_no_resource_says_what_is_wrong_and_no_value(record: object, field: str) -> None:
    with pytest.raises(MalformedRecord) as caught:
        read_resource(record, expected_type="Person")
    assert caught.value.field == field
    assert "Ada" not in str(caught.value)


def test_one_bad_record_does_not_spoil_its_page() -> None:
    page = read(answer(200, list_document([person("1"), "Ada", {"type": "Email", "id": "2"}, person("3")])))
    assert len(page.records) == 4


def values(*raw: str) -> list[Any]:
    """What a page's attributes hold whose values are written like this."""
    body = '{"data": [{"type": "Person", "id": "1", "attributes": {"values": [' + ", ".join(raw) + "]}}]}"
    page = read(answer_bytes(200, body.encode()))
    found: list[Any] = page.records[0]["attributes"]["values"]
    return found


def test_text_is_read_exactly_whatever_is_in_it() -> None:
    assert values('"\\u0000"', '"a\\ud800b"', '"\\ud83c\\udf89"', '"🎉"', '"\\u2028"') == [
        "\x00",
        "a\ud800b",
        "🎉",
        "🎉",
        "\u2028",
    ]


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("9" * 30, int("9" * 30)),
        ("-" + "9" * 400, -int("9" * 400)),
        ("18446744073709551616", 2**64),
        ("9007199254740993", 2**53 + 1),
        ("1e400", Decimal("1e400")),
        ("-1E+400", Decimal("-1e400")),
        ("1e-400", Decimal("1e-400")),
        ("0." + "0" * 400 + "1", Decimal("1e-401")),
        ("9" * 400 + ".5", Decimal("9" * 400 + ".5")),
        ("0e999", 0.0),
        ("1.5", 1.5),
        ("2e2", 200.0),
        ("0", 0),
        ("-0.0", -0.0),
    ],
)
def test_a_number_keeps_its_value_and_its_kind(raw: str, value: object) -> None:
    (found,) = values(raw)
    assert found == value
    assert type(found) is type(value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=12,
    )
)
def test_whatever_json_can_say_is_read_as_it_was_written(value: object) -> None:
    assert repr(read_json(json.dumps(value).encode())) == repr(value)


def test_a_single_record_is_read_as_a_document() -> None:
    document = {"data": person("1"), "included": [], "meta": {}}
    assert read_document(answer(200, document), path="/people/v2/people/1") == document
