"""Every bad answer becomes the error that says what to do about it, and no error tells what must stay secret."""

import json
import pickle

import pytest

from pco_client import errors
from pco_client.sansio import HINTS, HttpResponse, PageRequest, Where, read_document, read_list
from tests.unit.pco_client.answers import HTML, PEOPLE, answer, answer_bytes, list_document, person, refusal

SECRET_WORDS = ("Ada", "Lovelace", "ada@example.org", "1815-12-10", "hunter2")
"""What stands in records, queries and credentials here, and must stand in no message."""


def error_of(response: HttpResponse, *, request: PageRequest = PEOPLE) -> errors.PcoError:
    with pytest.raises(errors.PcoError) as caught:
        read_list(response, request=request, expected_type="Person")
    return caught.value


BAD_ANSWERS = [
    pytest.param(refusal(401, "Invalid credentials"), errors.Unauthorized, id="401"),
    pytest.param(answer_bytes(401, b"HTTP Basic: Access denied.\n"), errors.Unauthorized, id="401 in plain text"),
    pytest.param(refusal(402, "Not in your plan"), errors.PlanLacksFeature, id="402"),
    pytest.param(refusal(403, "You do not have access to this product"), errors.Forbidden, id="403"),
    pytest.param(answer_bytes(403, b"<html>blocked</html>", headers=HTML), errors.EdgeBlocked, id="403 of the edge"),
    pytest.param(answer_bytes(403, b"\n <!DOCTYPE html>"), errors.EdgeBlocked, id="403 with HTML called JSON"),
    pytest.param(refusal(404, "The resource you requested could not be found"), errors.NotFound, id="404"),
    pytest.param(answer_bytes(404, b"<html></html>", headers=HTML), errors.NotFound, id="404 with HTML"),
    pytest.param(refusal(400, "unsupported version"), errors.BadRequest, id="400"),
    pytest.param(answer_bytes(405, b""), errors.BadRequest, id="405"),
    pytest.param(refusal(409, "conflict"), errors.BadRequest, id="409"),
    pytest.param(refusal(422, "attribute not found"), errors.BadRequest, id="422"),
    pytest.param(answer_bytes(408, b""), errors.ServerFault, id="408"),
    pytest.param(refusal(500, "Internal server error"), errors.ServerFault, id="500"),
    pytest.param(answer_bytes(502, b"<html>Bad Gateway</html>", headers=HTML), errors.ServerFault, id="502 with HTML"),
    pytest.param(answer_bytes(503, b"maintenance"), errors.ServerFault, id="503"),
    pytest.param(answer_bytes(504, b""), errors.ServerFault, id="504 without a body"),
    pytest.param(answer_bytes(599, b""), errors.ServerFault, id="a 5xx nobody knows"),
    pytest.param(answer_bytes(302, b""), errors.UnexpectedStatus, id="a redirect"),
    pytest.param(answer_bytes(418, b""), errors.UnexpectedStatus, id="a 4xx nobody knows"),
    pytest.param(answer_bytes(204, b""), errors.UndecodableAnswer, id="204 where a list is due"),
    pytest.param(answer_bytes(200, b""), errors.UndecodableAnswer, id="nothing at 200"),
    pytest.param(answer_bytes(200, b"<html>hi</html>", headers=HTML), errors.UndecodableAnswer, id="HTML at 200"),
    pytest.param(answer_bytes(200, b'{"data": [{"type": "Per'), errors.UndecodableAnswer, id="half JSON"),
    pytest.param(answer_bytes(200, b'{"data": []} {}'), errors.UndecodableAnswer, id="two documents"),
    pytest.param(answer_bytes(200, b'{"data": ["\xff\xfe"]}'), errors.UndecodableAnswer, id="bytes that are no UTF-8"),
    pytest.param(answer_bytes(200, b'{"data": [NaN]}'), errors.UndecodableAnswer, id="NaN"),
    pytest.param(answer_bytes(200, b'{"data": [Infinity]}'), errors.UndecodableAnswer, id="Infinity"),
    pytest.param(answer_bytes(200, b'{"data": [-Infinity]}'), errors.UndecodableAnswer, id="minus Infinity"),
    pytest.param(
        answer_bytes(200, b'{"data": [1e99999999999999999999]}'), errors.UndecodableAnswer, id="no number can be so big"
    ),
    pytest.param(answer_bytes(200, b'{"data": [' + b"9" * 5000 + b"]}"), errors.UndecodableAnswer, id="5000 digits"),
    pytest.param(answer_bytes(200, b"[" * 100_000), errors.UndecodableAnswer, id="brackets without end"),
    pytest.param(answer(200, []), errors.UnexpectedDocument, id="a list where a document is due"),
    pytest.param(answer(200, "fine"), errors.UnexpectedDocument, id="text where a document is due"),
    pytest.param(answer(200, None), errors.UnexpectedDocument, id="null where a document is due"),
    pytest.param(answer(200, {"data": person("1")}), errors.UnexpectedDocument, id="an object where a list is due"),
    pytest.param(answer(200, {"meta": {}}), errors.UnexpectedDocument, id="a document without data"),
    pytest.param(
        answer(200, list_document([{"type": "Organization", "id": "1"}, {"type": "Organization", "id": "2"}])),
        errors.UnexpectedDocument,
        id="every record of another type",
    ),
    pytest.param(
        answer(200, list_document([], next={"offset": 0})), errors.UnexpectedDocument, id="a next offset that stays"
    ),
    pytest.param(
        answer(200, list_document([], next={"offset": -100})), errors.UnexpectedDocument, id="a next offset that falls"
    ),
    pytest.param(
        answer(200, list_document([], next={"offset": "soon"})), errors.UnexpectedDocument, id="a next offset in words"
    ),
    pytest.param(
        answer(200, list_document([], next={"offset": 100.5})), errors.UnexpectedDocument, id="half a next offset"
    ),
    pytest.param(
        answer(200, {"data": [], "links": {"next": "https://example.org/people"}}),
        errors.UnexpectedDocument,
        id="a next link without an offset",
    ),
]


@pytest.mark.parametrize(("response", "kind"), BAD_ANSWERS)
def test_a_bad_answer_becomes_the_error_of_its_consequence(response: HttpResponse, kind: type[errors.PcoError]) -> None:
    assert type(error_of(response)) is kind


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        (errors.Unreachable, errors.RetryError),
        (errors.ServerFault, errors.RetryError),
        (errors.UndecodableAnswer, errors.RetryError),
        (errors.EdgeBlocked, errors.RetryError),
        (errors.RateLimited, errors.WaitError),
        (errors.NotFound, errors.SkipError),
        (errors.Forbidden, errors.SkipError),
        (errors.PlanLacksFeature, errors.SkipError),
        (errors.Unauthorized, errors.StopError),
        (errors.BadRequest, errors.StopError),
        (errors.UnexpectedDocument, errors.StopError),
        (errors.UnexpectedStatus, errors.StopError),
    ],
)
def test_each_error_belongs_to_one_consequence(kind: type[errors.PcoError], family: type[errors.PcoError]) -> None:
    families = (errors.RetryError, errors.WaitError, errors.SkipError, errors.StopError)
    assert [one for one in families if issubclass(kind, one)] == [family]


@pytest.mark.parametrize(("response", "kind"), BAD_ANSWERS)
def test_an_error_survives_pickling(response: HttpResponse, kind: type[errors.PcoError]) -> None:
    error = error_of(response)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


@pytest.mark.parametrize(("response", "kind"), BAD_ANSWERS)
def test_an_error_says_what_was_asked_and_what_came_back(response: HttpResponse, kind: type[errors.PcoError]) -> None:
    error = error_of(response)
    assert error.where == "GET /people/v2/people"
    assert error.status == response.status
    assert error.request_id == "req-1"
    assert str(error).endswith(f"(GET /people/v2/people, status {response.status}, request req-1)")


@pytest.mark.parametrize("word", sorted(HINTS))
def test_a_401_keeps_and_explains_the_hint_of_pco(word: str) -> None:
    error = error_of(refusal(401, f"Unauthorized: {word}"))
    assert isinstance(error, errors.Unauthorized)
    assert error.hint == word
    assert word in str(error)
    assert HINTS[word] in str(error)
    assert pickle.loads(pickle.dumps(error)).hint == word


def test_a_401_without_a_hint_has_none() -> None:
    error = error_of(refusal(401, "Invalid credentials"))
    assert isinstance(error, errors.Unauthorized)
    assert error.hint is None


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        (None, 1.0),
        ("", 1.0),
        ("soon", 1.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0),
        ("-12", 1.0),
        ("0", 1.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("7 seconds", 7.0),
        ("19.2", 19.0),
        ("999999999", 300.0),
        ("9" * 40, 300.0),
    ],
)
def test_a_429_says_how_long_to_wait(retry_after: str | None, seconds: float) -> None:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    error = error_of(refusal(429, "Rate limit exceeded: 118 of 100 requests per 20 seconds", headers=headers))
    assert isinstance(error, errors.RateLimited)
    assert error.retry_after_seconds == seconds
    assert pickle.loads(pickle.dumps(error)).retry_after_seconds == seconds


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(list_document([person("1", name="Ada Lovelace")])).encode()[:-9],
        b"<html>Dear Ada Lovelace, ada@example.org</html>",
        json.dumps({"data": person("1", email="ada@example.org", birthdate="1815-12-10")}).encode(),
        json.dumps(list_document([{"type": "Ada", "id": "Lovelace"}])).encode(),
        json.dumps({"data": "Ada"}).encode(),
        json.dumps({"errors": [{"detail": "Ada Lovelace (ada@example.org) was born on 1815-12-10"}]}).encode(),
        json.dumps({"errors": [{"detail": "CAPUCHIN of Ada", "title": "Lovelace", "code": "hunter2"}]}).encode(),
        json.dumps({"errors": [{"title": "CAPUCHIN of Ada", "code": ["Lovelace"]}]}).encode(),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401, 402, 403, 404, 409, 422, 429, 500, 418])
def test_no_message_holds_a_value_of_a_record_or_of_the_query(status: int, body: bytes) -> None:
    request = PageRequest(
        path="/people/v2/people",
        api_version="2025-11-10",
        where=(Where(attribute="first_name", operator=None, value="Ada"),),
    )
    error = error_of(answer_bytes(status, body), request=request)
    told = f"{error!s} {error!r} {vars(error)}"
    assert not [word for word in SECRET_WORDS if word in told]
    assert "?" not in told


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422, 418])
def test_a_refusal_is_told_with_pcos_code_for_it(status: int) -> None:
    document = {"errors": [{"status": str(status), "code": "unsupported_version", "detail": "Ada"}]}
    assert ": unsupported_version (GET /people" in str(error_of(answer(status, document)))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'{"errors": []}', b'{"errors": {"a": 1}}', b'{"errors": [1]}', b'{"errors": [{}]}']
)
def test_a_refusal_without_pcos_words_is_still_told(body: bytes) -> None:
    assert str(error_of(answer_bytes(404, body))).startswith("not found (GET")


def test_an_unset_to_one_edge_is_not_an_object() -> None:
    with pytest.raises(errors.UnexpectedDocument, match="`data` is null where an object is due"):
        read_document(answer(200, {"data": None}), path="/people/v2/people/1/primary_campus")


@pytest.mark.parametrize("data", [[person("1")], None, "x", 7, True])
def test_a_list_is_refused_where_an_object_is_due(data: object) -> None:
    with pytest.raises(errors.UnexpectedDocument):
        read_document(answer(200, {"data": data}), path="/people/v2/people/1")
