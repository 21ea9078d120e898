"""What is sent: PCO's query syntax, quoted as PCO reads it, and the headers that every request needs."""

import base64
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pco_client import PageRequest, PersonalAccessToken, Where
from pco_client.client import user_agent
from pco_client.sansio import HttpRequest, build_document_request, build_list_request

TOKEN = PersonalAccessToken("application-1", "hunter2")


def built(request: PageRequest) -> HttpRequest:
    return build_list_request(request, base_url="http://pco.test", credential=TOKEN, user_agent="pco-sync/1 (a@b.test)")


def pairs(request: PageRequest) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(built(request).url).query, keep_blank_values=True)


def people(**told: object) -> PageRequest:
    return PageRequest(path="/people/v2/people", api_version="2025-11-10", **told)  # type: ignore[arg-type]


def test_a_page_is_asked_for_by_size_and_offset() -> None:
    assert built(people(offset=200, per_page=50)).url == "http://pco.test/people/v2/people?per_page=50&offset=200"


def test_everything_that_can_be_asked_for_has_its_place() -> None:
    request = people(
        where=(
            Where(attribute="status", operator=None, value="active"),
            Where(attribute="updated_at", operator="gte", value="2026-05-01T00:00:00Z"),
        ),
        order="-updated_at",
        include=("emails", "field_data.field_definition"),
        fields=(("Person", ("first_name", "emails")), ("Email", ("address",))),
    )
    assert pairs(request)[2:] == [
        ("where[status]", "active"),
        ("where[updated_at][gte]", "2026-05-01T00:00:00Z"),
        ("order", "-updated_at"),
        ("include", "emails,field_data.field_definition"),
        ("fields[Person]", "first_name,emails"),
        ("fields[Email]", "address"),
    ]


def test_what_is_not_asked_for_is_not_sent() -> None:
    assert [name for name, _ in pairs(people())] == ["per_page", "offset"]


def test_a_query_is_quoted_as_pco_writes_it_in_its_links() -> None:
    request = people(where=(Where(attribute="updated_at", operator="gte", value="2026-05-01T00:00:00Z"),))
    assert "where[updated_at][gte]=2026-05-01T00%3A00%3A00Z" in built(request).url


@given(value=st.text(st.characters(codec="utf-8")))
def test_any_value_arrives_as_it_is(value: str) -> None:
    request = people(where=(Where(attribute="last_name", operator=None, value=value),))
    assert pairs(request)[2:] == [("where[last_name]", value)]
    assert not set(built(request).url) & set(' #"<>\\\n\r\t')


def test_every_request_says_who_asks_and_in_which_version() -> None:
    for request in (
        built(people()),
        build_document_request(
            "/people/v2",
            api_version="2025-11-10",
            base_url="http://pco.test",
            credential=TOKEN,
            user_agent="pco-sync/1 (a@b.test)",
        ),
    ):
        assert request.method == "GET"
        assert request.headers["X-PCO-API-Version"] == "2025-11-10"
        assert request.headers["User-Agent"] == "pco-sync/1 (a@b.test)"
        assert request.headers["Accept"] == "application/json"
        assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"application-1:hunter2"


def test_the_user_agent_names_the_program_its_version_and_a_contact() -> None:
    assert user_agent().startswith("pco-sync/")
    assert user_agent("it@church.test").endswith(" (it@church.test)")


def test_a_credential_is_known_by_a_digest_and_never_shown() -> None:
    assert TOKEN.identity == PersonalAccessToken("application-1", "another").identity
    assert TOKEN.identity != PersonalAccessToken("application-2", "hunter2").identity
    for told in (repr(TOKEN), str(TOKEN), f"{TOKEN}", TOKEN.identity):
        assert "hunter2" not in told
        assert "application-1" not in told


@pytest.mark.parametrize(("application_id", "secret"), [("", "x"), ("x", ""), ("", "")])
def test_half_a_credential_is_refused_without_telling_the_other_half(application_id: str, secret: str) -> None:
    with pytest.raises(ValueError, match="one of them is empty") as caught:
        PersonalAccessToken(application_id, secret)
    assert "'x'" not in str(caught.value)
