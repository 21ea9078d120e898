"""What a finding says holds nothing that a record or an answer says."""

import pytest

from pco_client.errors import Forbidden, PcoError, ServerFault, Unauthorized, Unreachable
from tasks.doctor.findings import date_named, named, refusal, verdict_of

CANARY = "Ada Example, ada@example.org"


@pytest.mark.parametrize(
    ("error", "told", "verdict"),
    [
        (Forbidden(f"no permission: {CANARY}", where=f"GET /people/{CANARY}", status=403), "status 403", "fails"),
        (Unauthorized(f"{CANARY}", hint=None, where=CANARY, status=401, request_id=CANARY), "status 401", "fails"),
        (ServerFault(f"{CANARY}", where=CANARY, status=500), "status 500", "unseen"),
        (Unreachable(f"{CANARY}", where=CANARY), "no answer", "unseen"),
    ],
)
def test_an_error_is_told_by_its_status_and_kind(error: PcoError, told: str, verdict: str) -> None:
    assert refusal(error) == f"{told} ({type(error).__name__})"
    assert verdict_of(error) == verdict


def test_only_what_looks_like_a_name_is_named() -> None:
    assert named(["first_name", CANARY, "email"]) == "email, first_name, 1 more"
    assert named(f"name_{number}" for number in range(15)).endswith("3 more")


def test_a_version_is_told_if_it_is_a_date() -> None:
    assert date_named("2025-11-10") == "2025-11-10"
    assert date_named(CANARY) == date_named(None) == "something that is no date"
