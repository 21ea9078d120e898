"""Who may not, what is not there, and what is too much: in PCO's own shapes."""

import json
from typing import Any

import pytest

from pco_simulator.answering.answers import Answer
from pco_simulator.rate_window import RateRules, WindowKind
from pco_simulator.settings import Drop
from pco_simulator.simulator import Reply
from tests.unit.pco_simulator.asking import PEOPLE, Clock, ask, headers_of, ids, page, simulator


def first_error(answer: Answer) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(answer.body)["errors"][0]
    return error


@pytest.mark.parametrize(
    ("authorization", "hint"),
    [(b"", "BLACKBIRD"), (b"Bearer abc", "BLACKBIRD"), (b"Basic !", "BLACKBIRD"), (b"Basic eDp5", "CHINCHILLA")],
)
def test_a_credential_that_is_not_known_gets_401_with_a_hint(authorization: bytes, hint: str) -> None:
    answer = ask(simulator(), PEOPLE, headers={b"authorization": authorization}).answer
    assert answer.status == 401
    assert first_error(answer)["status"] == "401"
    assert hint in first_error(answer)["detail"]


def test_a_wrong_secret_gets_401() -> None:
    assert ask(simulator(), PEOPLE, secret="wrong").answer.status == 401


def test_without_a_user_agent_the_edge_answers_html() -> None:
    answer = ask(simulator(), PEOPLE, headers={b"user-agent": b""}).answer
    assert answer.status == 403
    assert answer.content_type == b"text/html"
    assert b"<html>" in answer.body


def test_a_product_without_permission_gets_403_while_others_answer() -> None:
    one = simulator(forbidden=frozenset({"people"}))
    assert ask(one, PEOPLE).answer.status == 403
    assert first_error(ask(one, "/people/v2").answer)["title"] == "Forbidden"
    assert ask(one, "/groups/v2/groups").answer.status == 200


@pytest.mark.parametrize(
    ("path", "origin"),
    [
        (f"{PEOPLE}/1", "product"),
        (f"{PEOPLE}/99999002", "product"),
        (f"{PEOPLE}/me-too", "product"),
        ("/groups/v2/groups/1/events", "product"),
        ("/bogus", "gateway"),
        ("/people/v3/people", "gateway"),
        ("/people/v2/shoes", "gateway"),
    ],
)
def test_what_is_not_there_gets_404(path: str, origin: str) -> None:
    answer = ask(simulator(), path).answer
    assert answer.status == 404
    assert answer.origin == origin
    assert first_error(answer)["title"] == "Not Found"


def test_a_record_and_the_organization_can_be_read_alone() -> None:
    one = simulator()
    identifier = ids(page(one))[0]
    assert page(one, f"{PEOPLE}/{identifier}")["data"]["id"] == identifier
    assert page(one, "/people/v2")["data"]["type"] == "Organization"


def test_it_can_only_be_read_and_only_in_a_version_that_exists() -> None:
    assert ask(simulator(), PEOPLE, method="POST").answer.status == 405
    too_old = ask(simulator(), PEOPLE, headers={b"x-pco-api-version": b"2010-01-01"}).answer
    assert too_old.status == 400
    assert first_error(too_old)["code"] == "unsupported_version_error"


def refused(replies: list[Reply]) -> list[int]:
    return [place for place, reply in enumerate(replies) if reply.answer.status == 429]


@pytest.mark.parametrize(("window", "served_at_20"), [("sliding", 1), ("fixed", 5)])
def test_the_limit_is_kept_in_either_kind_of_window(window: WindowKind, served_at_20: int) -> None:
    clock = Clock()
    one = simulator(rules=RateRules(limit=5, period=20, window=window, count_refused=False), clock=clock)
    for moment in (0.0, 15.0, 15.0, 15.0, 15.0):
        clock.now = moment
        assert ask(one, PEOPLE).answer.status == 200
    assert ask(one, PEOPLE).answer.status == 429
    clock.now = 20.0
    answers = [ask(one, PEOPLE) for _ in range(5)]
    assert refused(answers) == list(range(served_at_20, 5))


def test_a_429_says_how_long_to_wait_in_a_body_of_its_own_shape() -> None:
    clock = Clock()
    one = simulator(rules=RateRules(limit=2, period=20), clock=clock)
    ask(one, PEOPLE)
    clock.now = 4.5
    ask(one, PEOPLE)
    reply = ask(one, PEOPLE)
    assert reply.answer.status == 429
    assert dict(reply.answer.headers)[b"retry-after"] == b"20"
    error = first_error(reply.answer)
    assert error["code"] == "429"
    assert "status" not in error
    assert error["detail"] == "Rate limit exceeded: 3 of 2 requests per 20 seconds"
    assert reply.verdict.count == 3


def test_refused_requests_use_up_the_budget_unless_told_otherwise() -> None:
    for count_refused, status in ((True, 429), (False, 200)):
        clock = Clock()
        one = simulator(rules=RateRules(limit=1, period=20, count_refused=count_refused), clock=clock)
        ask(one, PEOPLE)
        clock.now = 10.0
        ask(one, PEOPLE)
        clock.now = 20.5
        assert ask(one, PEOPLE).answer.status == status


def test_each_credential_has_a_budget_of_its_own() -> None:
    one = simulator(rules=RateRules(limit=1))
    one.settings.credentials["other"] = "secret"  # type: ignore[index]
    assert ask(one, PEOPLE).answer.status == 200
    assert ask(one, PEOPLE, app_id="other").answer.status == 200
    assert ask(one, PEOPLE).answer.status == 429


def test_deep_offsets_have_a_lower_limit() -> None:
    one = simulator(rules=RateRules(limit=5, deep_limit=2))
    assert ask(one, PEOPLE, "offset=30000").verdict.limit == 5
    assert ask(one, PEOPLE, "offset=30001").verdict.limit == 2
    assert ask(one, PEOPLE, "offset=30001").answer.status == 429
    assert ask(one, PEOPLE).answer.status == 200


def test_the_limit_can_drop_in_the_middle() -> None:
    one = simulator(rules=RateRules(limit=100))
    one.drops.append(Drop(limit=3, after_request=4))
    assert refused([ask(one, PEOPLE) for _ in range(6)]) == [4, 5]


@pytest.mark.parametrize(
    ("asked", "processed"),
    [(b"2026-06-04", "2026-06-04"), (b"2026-05-30", "2025-11-10"), (b"2099-01-01", "2026-06-04")],
)
async def test_an_answer_is_of_the_newest_version_that_is_not_after_the_date_asked_for(
    asked: bytes, processed: str
) -> None:
    assert (await headers_of(simulator(), PEOPLE, version=asked))["x-pco-api-processed-as-version"] == processed


async def test_headers_tell_the_budget_and_the_gateway_writes_the_period_in_its_own_way() -> None:
    one = simulator(rules=RateRules(limit=3, period=20))
    headers = await headers_of(one, PEOPLE)
    assert headers["content-type"] == "application/vnd.api+json; charset=utf-8"
    assert headers["x-pco-api-request-rate-limit"] == "3"
    assert headers["x-pco-api-request-rate-count"] == "1"
    assert headers["x-pco-api-request-rate-period"] == "20"
    assert headers["x-pco-api-processed-as-version"] == "2025-11-10"
    assert headers["x-request-id"]
    gateway = await headers_of(one, "/bogus")
    assert gateway["x-pco-api-request-rate-period"] == "20 seconds"
    assert "x-pco-api-processor" not in gateway
    edge = await headers_of(one, PEOPLE, user_agent=False)
    assert not [name for name in edge if name.startswith("x-")]


def test_the_log_tells_what_was_asked_and_how_it_ended() -> None:
    one = simulator(rules=RateRules(limit=2))
    ask(one, PEOPLE, "per_page=500&offset=10")
    ask(one, "/bogus")
    ask(one, PEOPLE)
    first, second, third = one.log.entries
    assert (first.n, first.path, first.offset, first.per_page, first.status) == (1, PEOPLE, 10, 100, 200)
    assert (first.credential, first.user_agent) == ("app", "a test")
    assert (second.status, third.status) == (404, 429)
    assert one.log.by_status() == {"200": 1, "404": 1, "429": 1}
    assert one.windows["app"].most == 3
    one.forget()
    assert ask(one, PEOPLE).n == 1
