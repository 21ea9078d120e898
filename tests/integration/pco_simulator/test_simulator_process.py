"""The simulator as a process: it says where it is, ends with whoever started it, and can be told anew while it runs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from pco_simulator.controls import Church
from pco_simulator.testing import SimulatorProcess

ROOT = Path(__file__).resolve().parents[3]
RECORDINGS = ROOT / "tests" / "recordings"
PEOPLE = "/people/v2/people"


def get(simulator: Church, path: str) -> httpx.Response:
    return httpx.get(
        f"{simulator.base_url}{path}",
        auth=(simulator.app_id, simulator.secret),
        headers={"User-Agent": "a test"},
        trust_env=False,
        timeout=20,
    )


def test_it_can_be_told_anew_while_it_runs() -> None:
    with SimulatorProcess(people=12, groups=1, seed=3) as simulator:
        assert get(simulator, PEOPLE).json()["meta"]["total_count"] == 12
        (created,) = simulator.churn([{"operation": "create", "entity": "people.Person"}])
        assert get(simulator, f"{PEOPLE}/{created}").status_code == 200
        assert simulator.state("people.Person")[-1]["id"] == str(created)
        simulator.forbid(["people"])
        assert get(simulator, PEOPLE).status_code == 403
        simulator.forbid([])
        simulator.reset_log()
        simulator.rate_limit(limit=2)
        simulator.latency(1)
        assert [get(simulator, PEOPLE).status_code for _ in range(3)] == [200, 200, 429]
        stats = simulator.stats()
        assert (stats["requests"], stats["refused"], stats["max_in_window"]) == (3, 1, 3)
        assert [one["n"] for one in simulator.access_log()] == [1, 2, 3]


def test_what_it_does_not_understand_it_says() -> None:
    with SimulatorProcess(people=1, groups=1) as simulator:
        with pytest.raises(ValueError, match="unknown fault 'lightning'"):
            simulator.faults([{"kind": "lightning"}])
        with pytest.raises(ValueError, match="unknown rate window"):
            simulator.rate_limit(window="bay")
        with pytest.raises(ValueError, match=r"people\.Shoe"):
            simulator.state("people.Shoe")
        with pytest.raises(ValueError, match="99 does not exist"):
            simulator.churn([{"operation": "delete", "entity": "people.Person", "id": 99}])


def test_recorded_answers_are_served_with_the_headers_of_their_kind() -> None:
    with SimulatorProcess(replay=RECORDINGS / "list_run_204.json") as simulator:
        answer = get(simulator, "/people/v2/lists/900007/run")
        assert (answer.status_code, answer.content) == (204, b"")
        assert get(simulator, PEOPLE).headers["x-pco-api-request-rate-period"] == "20 seconds"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--rate-limit", "often"], "--rate-limit 'often': write two numbers"),
        (["--churches", "0"], "--churches 0: at least 1"),
        (["--now", "2026-11-28"], "write the time with its zone"),
        (["--volunteers", "3"], "volunteers and plans, or neither"),
        (["--drop", "10"], "--drop '10': write two numbers with @"),
        (["--replay", "no-such-file.json"], "No such file"),
        (["--prepare", "people.Shoe"], "people.Shoe"),
    ],
)
def test_wrong_arguments_end_it_with_code_2_and_a_line_that_says_why(arguments: list[str], complaint: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pco_simulator", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_ends_it_with_code_1() -> None:
    with SimulatorProcess(people=1, groups=1) as simulator:
        port = simulator.base_url.rpartition(":")[2]
        done = subprocess.run(
            [sys.executable, "-m", "pco_simulator", "--port", port, "--people", "1", "--groups", "1"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, None])
def test_it_ends_when_told_to_and_when_its_parent_is_gone(number: signal.Signals | None) -> None:
    command = [sys.executable, "-m", "pco_simulator", "--people", "1", "--groups", "1", "--end-with-stdin"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline()
        if number is None:
            process.stdin.close()
        else:
            os.kill(process.pid, number)
        assert process.wait(10) == 0


def test_several_churches_in_one_process_are_told_apart_by_the_credential() -> None:
    with SimulatorProcess(people=9, groups=1, churches=3) as simulator:
        churches = [simulator.church(number) for number in range(3)]
        lists = [get(one, PEOPLE).json() for one in churches]
        assert len({one["meta"]["parent"]["id"] for one in lists}) == 3
        assert len({str(one["data"]) for one in lists}) == 3
        churches[1].churn([{"operation": "delete", "entity": "people.Person", "place": 0}])
        churches[2].forbid(["people"])
        assert [get(one, PEOPLE).status_code for one in churches] == [200, 200, 403]
        assert [len(one.state("people.Person")) for one in churches] == [9, 8, 9]
        churches[0].reset_log()
        assert [one.stats()["requests"] for one in churches] == [0, 2, 2]
        assert simulator.stats() == churches[0].stats()
        simulator.rate_limit(limit=1)
        assert [get(one, PEOPLE).status_code for one in [*churches[:2], *churches[:2]]] == [200, 200, 429, 200]
        churches[1].secret = simulator.secret
        assert get(churches[1], PEOPLE).status_code == 401
        with pytest.raises(ValueError, match="no church lets the application 'test-application-3' in"):
            simulator.church(3).stats()
