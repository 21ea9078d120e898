"""The rights that docs/operations.md gives to a user of Redis are enough, and without them a sync says so at once."""

import re
from collections.abc import Iterator

import pytest
from redis import Redis

from tests.church import Church
from tests.house.project import ROOT

ACL = re.compile(r"ACL SETUSER pco-sync on >PASSWORD (?P<rights>(?:[^\n]*\\\n)*[^\n]*)")


def documented_rights() -> list[str]:
    """What the page says to type."""
    found = ACL.search((ROOT / "docs" / "operations.md").read_text(encoding="utf-8"))
    assert found is not None
    return found["rights"].replace("\\\n", " ").split()


@pytest.fixture
def limited(church: Church, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    """Syncs reach Redis as a user with the documented rights."""
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        redis.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">hush", *documented_rights())
        redis.execute_command("ACL", "LOG", "RESET")
        monkeypatch.setenv("PCO_SYNC_REDIS_URL", f"redis://limited:hush@{redis_url.split('@')[1]}")
        yield redis
        redis.execute_command("ACL", "DELUSER", "limited")


def test_the_documented_rights_are_enough_for_a_sync(church: Church, limited: Redis) -> None:
    church.sync()
    assert church.differences() == []
    refused = [str(one["object"]) for one in limited.acl_log() if one["username"] == "limited"]
    assert [one for one in refused if not one.startswith("client")] == [], "only the name it gives itself is refused"


def test_a_sync_without_a_right_ends_at_once_and_says_why(church: Church, limited: Redis) -> None:
    limited.acl_setuser("limited", enabled=True, reset_keys=True, keys=["other:*"])
    state = church.end()
    assert state.is_failed()
    assert "a right is missing for the Redis user of PCO_SYNC_REDIS_URL (keys)" in str(state.message)
    assert church.reads() == {}
