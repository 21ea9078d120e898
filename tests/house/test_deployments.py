"""A file is a flow is a deployment, and prefect.yaml says the same as deployments/provisioning/names.py."""

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.provisioning import names
from deployments.provisioning.automations import read_automations
from tasks.settings import SyncSettings
from tests.house.project import ROOT, documents, files, syntax

VERBS = {
    "backfill",
    "call",
    "drain",
    "plan",
    "reconcile",
    "recover",
    "remove",
    "replay",
    "resume",
    "submit",
    "sync",
    "verify",
}
FLOWS = [path for path in files(".py") if path.parent == Path("flows") and path.name != "__init__.py"]
NOUNS = {"parameters"}
"""Flow files whose names need no verb: what flows share (STYLE: the one noun here)."""

LOAD_STRICTLY = """
import json, sys
from pathlib import Path
root = Path.cwd()
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != root]  # not even the editable install
from prefect.flows import load_flow_from_entrypoint
flows = {entrypoint: load_flow_from_entrypoint(entrypoint) for entrypoint in sys.argv[1:]}
print(json.dumps({entrypoint: [flow.name, flow.description] for entrypoint, flow in flows.items()}))
"""


@cache
def prefect_yaml() -> dict[str, Any]:
    told: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    return told


def entrypoints() -> list[str]:
    return [one["entrypoint"] for one in prefect_yaml()["deployments"]]


def flows_in(path: Path) -> list[str]:
    """The functions of a file that a decorator named flow… makes a flow."""
    found = []
    for node in syntax(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            called = [one.func if isinstance(one, ast.Call) else one for one in node.decorator_list]
            if any(isinstance(one, ast.Name) and one.id.startswith("flow") for one in called):
                found.append(node.name)
    return found


@pytest.mark.parametrize("path", FLOWS, ids=str)
def test_a_flow_file_starts_with_a_verb_and_stands_in_for_no_other_module(path: Path) -> None:
    installed = set(importlib.metadata.packages_distributions())
    assert path.stem in NOUNS or path.stem.split("_")[0] in VERBS
    assert path.stem not in sys.stdlib_module_names
    assert path.stem not in installed


def test_every_flow_is_deployed_from_the_file_of_its_name() -> None:
    deployed = sorted(f"flows/{path.name}:{name}" for path in FLOWS for name in flows_in(path))
    assert deployed == sorted(entrypoints())
    assert deployed
    assert all(Path(one.partition(":")[0]).stem == one.partition(":")[2] for one in deployed)


def test_every_entrypoint_loads_in_a_fresh_process_and_is_known_by_its_name() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD_STRICTLY, *entrypoints()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert loaded.returncode == 0, loaded.stderr
    flows = json.loads(loaded.stdout.splitlines()[-1])
    assert {one: name for one, (name, _) in flows.items()} == {
        one: one.partition(":")[2].replace("_", "-") for one in entrypoints()
    }
    assert all(description for _, description in flows.values())
    told = {f"{flows[one['entrypoint']][0]}/{one['name']}" for one in prefect_yaml()["deployments"]}
    assert told == {value for value in vars(names).values() if isinstance(value, str) and value.count("/") == 1}


def test_all_deployments_run_on_the_work_pool_and_check_their_parameters() -> None:
    for one in prefect_yaml()["deployments"]:
        assert one["work_pool"]["name"] == names.WORK_POOL
        assert one.get("enforce_parameter_schema", True)
        assert one["description"].strip()


@pytest.mark.parametrize("pool", ["docker", "kubernetes"])
def test_the_flows_of_other_work_pools_are_the_same_ones(pool: str) -> None:
    told = yaml.safe_load((ROOT / "deployments" / f"prefect.{pool}.yaml").read_text(encoding="utf-8"))
    deployments = told["deployments"]
    assert [one["entrypoint"] for one in deployments] == entrypoints()
    assert [one["name"] for one in deployments] == [f"{one['name']}-{pool}" for one in prefect_yaml()["deployments"]]
    (pool_name,) = {one["work_pool"]["name"] for one in deployments}
    assert pool_name == f"pco-sync-{pool}"
    environment = deployments[0]["work_pool"]["job_variables"]["env"]
    names_there = {f"{one['entrypoint'].partition(':')[2].replace('_', '-')}/{one['name']}" for one in deployments}
    assert {value for name, value in environment.items() if name.endswith("_DEPLOYMENT")} <= names_there
    settings = {f"PCO_SYNC_{name.upper()}" for name in SyncSettings.model_fields}
    assert {name for name in environment if name.startswith("PCO_SYNC_")} <= settings
    secrets = [value for name, value in environment.items() if name.endswith("_URL")]
    assert all(value.startswith("{{ $PCO_SYNC_BLOCK }}") for value in secrets)


def test_the_automations_are_what_prefect_understands() -> None:
    automations = read_automations()
    assert [one.actions[0].type for one in automations] == ["change-flow-run-state", "do-nothing"]
    assert not any(getattr(one.actions[0], "force", False) for one in automations), "what is over is never marked"
    assert all(one.enabled for one in automations)


@pytest.mark.parametrize(
    ("file", "seconds"),
    [("prefect.yaml", 300), ("deployments/prefect.docker.yaml", 60), ("deployments/prefect.kubernetes.yaml", 60)],
)
def test_dead_work_is_looked_for_every_minute_where_no_warm_worker_does(file: str, seconds: int) -> None:
    deployments = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["deployments"]
    (recovery,) = [one for one in deployments if one["entrypoint"].endswith(":recover_syncs")]
    assert [one["interval"] for one in recovery["schedules"]] == [seconds]


def test_a_deployment_that_a_document_names_exists() -> None:
    known = {one["name"] for one in prefect_yaml()["deployments"]}
    unknown = [
        f"{path}: {name}"
        for path in documents()
        for name in re.findall(r"deployment\s+[`*]([\w/-]+)[`*]", (ROOT / path).read_text(encoding="utf-8"))
        if name.rpartition("/")[2] not in known
    ]
    assert unknown == []
