"""No secret and no personal value leaves the mirror's database and the wire."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import make_url

from embedded.services import PREFECT_DATABASE
from tests.church import PEOPLE, Church, read_flow_run
from tests.simulators import SimulatorProcess
from tests.stack import Stack, wait_until

SECRET = "canary-secret-4711"
NAME = "Canaryname"
MAIL = "canary-mail@example.org"


@pytest.fixture
def church_with_canaries(church: Church, monkeypatch: pytest.MonkeyPatch) -> Iterator[Church]:
    """A church with a person, an address and a token that are easy to find wherever they went."""
    with SimulatorProcess(people=30, secret=SECRET, app_id="canary-application") as simulator:
        simulator.churn(
            [
                {"operation": "edit", "entity": PEOPLE, "place": 3, "attributes": {"last_name": NAME}},
                {"operation": "edit", "entity": PEOPLE, "place": 7, "attributes": {"first_name": NAME, "new": NAME}},
                {"operation": "edit", "entity": "people.Email", "place": 5, "attributes": {"address": MAIL}},
            ]
        )
        watched = church.served_by(simulator)
        for name, value in watched.environment().items():
            monkeypatch.setenv(name, value)
        yield watched


def test_canaries_are_found_in_the_mirror_and_nowhere_else(
    church_with_canaries: Church,
    stack: Stack,
    postgres_dump: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    church = church_with_canaries
    caplog.set_level("DEBUG")
    people = church.simulator.state(PEOPLE)
    ends = [church.end(), church.end("people.Email")]
    church.simulator.faults(
        [
            {"kind": "missing-id", "record_id": people[3]["id"], "times": 1},
            {"kind": "nul", "record_id": people[7]["id"], "times": 1},
        ]
    )
    ends.append(church.end())
    church.simulator.faults([{"kind": "half-json", "at_request": 1, "permanent": True}])
    ends.append(church.end())
    church.simulator.faults([])
    church.sql("ALTER TABLE people.person ADD CONSTRAINT nobody CHECK (last_name <> 'Canaryname') NOT VALID")
    church.sql("DELETE FROM people.person")
    ends.append(church.end())
    monkeypatch.setenv("PCO_SYNC_SECRET", "canary-secret-4712")
    ends.append(church.end())
    assert [state.name for state in ends] == [
        *("Completed", "Completed", "CompletedWithQuarantine", "Failed", "Failed", "Failed"),
    ]
    wait_until(lambda: "does not accept the credential" in _dump(stack, postgres_dump, PREFECT_DATABASE), "logs came")
    mirror = _dump(stack, postgres_dump, str(make_url(church.database_url).database))
    assert all(canary in mirror for canary in (NAME, MAIL)), "they are what we look for"
    shown = "\n".join(str(read_flow_run(state.state_details.flow_run_id)) for state in ends)
    elsewhere = {
        "Prefect's database": _dump(stack, postgres_dump, PREFECT_DATABASE),
        "Redis": _everything_in(church.redis_url),
        "logs": "\n".join([*capfd.readouterr(), caplog.text, *_texts(stack.home / "logs")]),
        "states": "\n".join([*(f"{state.message} {state!r}" for state in ends), shown]),
        "errors in the ledger": str([run.error for run in church.runs()]),
    }
    for place, text in elsewhere.items():
        assert len(text) > 100, place
        assert [canary for canary in (NAME, MAIL, "canary-secret") if canary in text] == [], place
    assert "canary-secret" not in mirror


@pytest.fixture
def postgres_dump(stack: Stack) -> str:
    """The program pg_dump that belongs to the server."""
    return str(stack.postgres.programs / "pg_dump")


def _dump(stack: Stack, program: str, database: str) -> str:
    """Every value of a database as text."""
    command = [program, "--data-only", "-h", str(stack.postgres.data), "-U", "postgres", database]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _everything_in(redis_url: str) -> str:
    with Redis.from_url(redis_url) as redis:
        found = []
        for key in redis.scan_iter():
            kind = redis.type(key).decode()
            match kind:
                case "string":
                    found.append(repr((key, redis.get(key))))
                case "hash":
                    found.append(repr((key, redis.hgetall(key))))
                case "zset":
                    found.append(repr((key, redis.zrange(key, 0, -1, withscores=True))))
                case _:
                    pytest.fail(f"{key!r} is a {kind}, which this test cannot read")
        return "\n".join(found)


def _texts(folder: Path) -> list[str]:
    return [file.read_text(errors="replace") for file in folder.iterdir()]
