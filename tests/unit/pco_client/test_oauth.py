"""What OAuth's answers mean, and the challenge of PKCE by the example of its standard."""

import json

import pytest

from pco_client.errors import (
    BadRequest,
    ClientRefused,
    EdgeBlocked,
    GrantRefused,
    PcoError,
    RateLimited,
    ServerFault,
    UndecodableAnswer,
)
from pco_client.oauth import USUAL_LIFE_SECONDS, challenge_of, new_secret, read_pair
from pco_client.sansio import HttpResponse


def answer(status: int, **told: object) -> HttpResponse:
    return HttpResponse(status=status, headers={}, body=json.dumps(told).encode() if told else b"")


def test_the_challenge_is_that_of_the_standards_example() -> None:
    """RFC 7636, appendix B."""
    assert challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert 43 <= len(new_secret()) <= 128
    assert new_secret() != new_secret()


@pytest.mark.parametrize(
    ("status", "told", "error"),
    [
        (400, {"error": "invalid_grant"}, GrantRefused),
        (400, {"error": "invalid_request", "error_description": "The token is no longer valid."}, GrantRefused),
        (400, {"error": "invalid_request", "error_description": "Missing required parameter."}, BadRequest),
        (401, {"error": "invalid_client"}, ClientRefused),
        (401, {"error": "unauthorized_client"}, ClientRefused),
        (429, {}, RateLimited),
        (503, {}, ServerFault),
        (403, {}, EdgeBlocked),
        (200, {"token_type": "Bearer"}, UndecodableAnswer),
        (200, {"access_token": "a", "refresh_token": 7}, UndecodableAnswer),
    ],
)
def test_an_answer_without_tokens_is_told_by_what_the_caller_must_do(
    status: int, told: dict[str, object], error: type[PcoError]
) -> None:
    with pytest.raises(error) as raised:
        read_pair(answer(status, **told))
    assert type(raised.value) is error


@pytest.mark.parametrize("life", [0, -5, True, "7200", 10**12, None])
def test_a_life_that_cannot_be_is_the_usual_one(life: object) -> None:
    assert read_pair(answer(200, access_token="a", expires_in=life)).life_seconds == USUAL_LIFE_SECONDS
