"""A warm worker runs what is deployed to its pool; each run for itself, though all in one process."""

import re
from pathlib import Path

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Suspended

from tests.acceptance.warm_workers import HERE, Pool, prefect, warm_worker
from tests.stack import Stack, wait_until


def test_prefect_knows_the_type_and_starts_its_worker_by_the_pool_alone(pool: Pool) -> None:
    run = pool.start(pool.deploy("quick"))
    pool.wait_for(run, "Completed")
    assert pool.history(run) == ["Scheduled", "Pending", "Running", "Completed"]


def test_a_cancelled_run_stops_soon_and_cleans_up(pool: Pool, tmp_path: Path) -> None:
    """Async, sync, and one that will not hear of it; the neighbour goes on."""
    names = {"waiting": "async", "waiting_sync": "sync", "stubborn": "stubborn"}
    runs = {
        name: pool.start(pool.deploy(flow), parameters={"folder": str(tmp_path), "name": name})
        for flow, name in names.items()
    }
    neighbour = pool.start(pool.deploy("waiting"), parameters={"folder": str(tmp_path), "name": "neighbour"})
    for name in [*runs, "neighbour"]:
        wait_until((tmp_path / f"{name} began").exists, f"{name} began", seconds=60)
    for run in runs.values():
        pool.cancel(run)
    for run in runs.values():
        pool.wait_for(run, "Cancelled")
    for sign in ("async cleaned up", "async hook", "sync cleaned up", "stubborn heard it"):
        assert (tmp_path / sign).exists()
    assert not (tmp_path / "async ended").exists()
    (tmp_path / "neighbour may end").touch()
    pool.wait_for(neighbour, "Completed")


def test_a_run_that_is_cancelled_before_it_began_never_begins(pool: Pool, slow_folder: Path) -> None:
    run = pool.start(pool.deploy("slow_to_load", "slow_to_load"))
    wait_until((slow_folder / "loading").exists, "the file is being loaded", seconds=60)
    assert pool.state(run).name == "Pending"
    pool.cancel(run)
    pool.wait_for(run, "Cancelled")
    (slow_folder / "may load").touch()
    after = pool.start(pool.deploy("slow_to_load", "slow_to_load"))
    pool.wait_for(after, "Completed")
    assert pool.history(run)[-1] == "Cancelled"
    assert "Running" not in pool.history(run)


def test_each_run_has_its_own_log(pool: Pool, tmp_path: Path) -> None:
    deployment = pool.deploy("talking")
    names = ["anna", "boris", "clara"]
    runs = {
        name: pool.start(deployment, parameters={"folder": str(tmp_path), "name": name, "others": names})
        for name in names
    }
    for run in runs.values():
        pool.wait_for(run, "Completed")
    for name, run in runs.items():
        expected = {f"{name} says {count} to the run logger" for count in range(5)}
        expected |= {f"{name} says {count} to its own logger" for count in range(5)}
        expected |= {f"{name} prints {count}" for count in range(5)}
        for line in expected:
            pool.wait_for_log(run, line)
        strangers = re.compile("|".join(other for other in names if other != name))
        said = [line for line in pool.logs(run) if " says " in line or " prints " in line]
        assert [line for line in said if strangers.search(line)] == []
        assert len(said) == 15


BAD_ENDS = {
    "exception": ("failing", {"how": "exception"}, "Failed", "this went wrong"),
    "exit": ("failing", {"how": "exit"}, "Crashed", "system exit"),
    "interrupt": ("failing", {"how": "interrupt"}, "Crashed", "interrupt"),
    "exit in a task": ("failing", {"how": "exit in a task"}, "Crashed", "system exit"),
    "cancelled error": ("failing", {"how": "cancelled error"}, "Crashed", "cancel"),
    "exception in a thread": ("failing_sync", {"how": "exception"}, "Failed", "this went wrong"),
    "exit in a thread": ("failing_sync", {"how": "exit"}, "Crashed", "system exit"),
    "wrong type": ("quick", {"number": "not a number"}, "Failed", "number"),
    "unknown parameter": ("quick", {"colour": "red"}, "Failed", "colour"),
    "missing parameter": ("failing", {}, "Failed", "how"),
}


def test_a_run_that_ends_badly_says_why_and_harms_no_other(pool: Pool, tmp_path: Path) -> None:
    neighbours = [
        pool.start(pool.deploy(flow), parameters={"folder": str(tmp_path), "name": flow})
        for flow in ("waiting", "waiting_sync")
    ]
    for flow in ("waiting", "waiting_sync"):
        wait_until((tmp_path / f"{flow} began").exists, f"{flow} began", seconds=60)
    runs: dict[str, FlowRun] = {}
    for what, (flow, parameters, _, _) in BAD_ENDS.items():
        deployment = pool.deploy(flow, enforce_parameter_schema=False)
        runs[what] = pool.start(deployment, parameters=parameters)
    for what, (_, _, name, message) in BAD_ENDS.items():
        state = pool.wait_for(runs[what], "Failed", "Crashed", "Completed")
        assert (what, state.name) == (what, name)
        assert message in str(state.message).lower(), what
    for flow, neighbour in zip(("waiting", "waiting_sync"), neighbours, strict=True):
        assert pool.state(neighbour).name == "Running"
        (tmp_path / f"{flow} may end").touch()
        pool.wait_for(neighbour, "Completed")


def test_code_that_cannot_be_loaded_is_told_in_the_run(pool: Pool, tmp_path: Path) -> None:
    elsewhere = [{"prefect.deployments.steps.set_working_directory": {"directory": str(tmp_path)}}]
    clone = [{"prefect.deployments.steps.git_clone": {"repository": "https://example.org/x.git"}}]
    pool.wait_for(pool.start(pool.deploy("quick")), "Completed")  # the worker lives in the project's directory now
    cases = {
        "no flow to be had here": pool.start(pool.deploy("anything", "unloadable")),
        "no_such_flow": pool.start(pool.deploy("no_such_flow")),
        "lives in": pool.start(pool.deploy("waiting", pull_steps=elsewhere)),
        "does not fetch code": pool.start(pool.deploy("stubborn", pull_steps=clone)),
    }
    for message, run in cases.items():
        state = pool.wait_for(run, "Crashed")
        assert message in str(state.message)
        pool.wait_for_log(run, str(state.message))


def test_variables_of_a_run_are_refused(stack: Stack, pool: Pool, own_pool: Pool) -> None:
    """By the server, which knows the pool; and by the worker, where somebody opened the pool's template."""
    with pytest.raises(PrefectHTTPStatusError) as refused:
        pool.deploy("quick", job_variables={"env": {"A": "1"}})
    assert refused.value.response.status_code in (httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY)
    own_pool.client.request(
        "PATCH",
        "/work_pools/{name}",
        path_params={"name": own_pool.name},
        json={"base_job_template": {"job_configuration": {"env": {}}, "variables": {"type": "object"}}},
    )
    run = own_pool.start(own_pool.deploy("quick", job_variables={"env": {"A": "1"}}))
    with warm_worker(stack, own_pool.name):
        state = own_pool.wait_for(run, "Crashed")
    assert "job variables env" in str(state.message)


def test_prefect_hears_that_a_run_is_alive(pool: Pool, tmp_path: Path) -> None:
    run = pool.start(pool.deploy("waiting"), parameters={"folder": str(tmp_path), "name": "long"})
    heard = {
        "filter": {
            "event": {"name": ["prefect.flow-run.heartbeat"]},
            "resource": {"id": [f"prefect.flow-run.{run.id}"]},
        }
    }

    def beats() -> int:
        return int(pool.client.request("POST", "/events/filter", json=heard).json()["total"])

    wait_until(lambda: beats() > 0, "a heartbeat of the run is there", seconds=60)
    (tmp_path / "long may end").touch()
    pool.wait_for(run, "Completed")


def test_a_run_can_be_suspended_and_resumed(pool: Pool, tmp_path: Path) -> None:
    run = pool.start(pool.deploy("stepping"), parameters={"folder": str(tmp_path), "name": "steps"})
    wait_until((tmp_path / "steps began").exists, "it began", seconds=60)
    pool.wait_for(run, "Running")
    pool.client.set_flow_run_state(run.id, Suspended(timeout_seconds=300))
    (tmp_path / "steps began").unlink()
    pool.wait_for_log(run, "ends here")
    assert pool.state(run).name == "Suspended"
    (tmp_path / "steps may end").touch()
    pool.client.resume_flow_run(run.id)
    pool.wait_for(run, "Completed")


def test_pull_steps_are_not_needed_where_the_path_says_enough(pool: Pool) -> None:
    directory = HERE[0]["prefect.deployments.steps.set_working_directory"]["directory"]
    pool.wait_for(pool.start(pool.deploy("quick", pull_steps=[], path=directory)), "Completed")


def test_the_limit_is_kept(stack: Stack, own_pool: Pool, tmp_path: Path) -> None:
    """`--limit 2`, a queue that allows one at a time, and a queue that goes first."""
    client = own_pool.client
    for settings in ({"name": "single", "priority": 2, "concurrency_limit": 1}, {"name": "first", "priority": 1}):
        path_params = {"work_pool_name": own_pool.name}
        client.request("POST", "/work_pools/{work_pool_name}/queues", path_params=path_params, json=settings)
    deployment = own_pool.deploy("recording")
    runs = []
    for queue, count in (("single", 4), ("first", 4)):
        for number in range(count):
            parameters = {"folder": str(tmp_path), "name": f"{queue}-{number}", "seconds": 0.4}
            runs.append(own_pool.start(deployment, parameters=parameters, work_queue_name=queue))
    with warm_worker(stack, own_pool.name, "--limit", "2"):
        for run in runs:
            own_pool.wait_for(run, "Completed")
    lines = (tmp_path / "journal").read_text().splitlines()
    assert most_at_once(lines, "") == 2
    assert most_at_once(lines, "single") == 1
    assert next(line for line in lines if line.startswith("began")).startswith("began first")


def most_at_once(lines: list[str], prefix: str) -> int:
    """How many runs whose names begin so went on at a time."""
    now = most = 0
    for line in lines:
        what, name = line.split()
        if name.startswith(prefix):
            now += 1 if what == "began" else -1
            most = max(most, now)
    return most


def test_a_worker_that_runs_once_waits_for_its_runs(stack: Stack, own_pool: Pool) -> None:
    run = own_pool.start(own_pool.deploy("quick"))
    assert "stopped!" in prefect(stack, "worker", "start", "--pool", own_pool.name, "--run-once")
    assert own_pool.state(run).name == "Completed"
