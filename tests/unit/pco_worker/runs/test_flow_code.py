"""Where a deployment's code is, and what a warm worker refuses."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.responses import DeploymentResponse

from pco_worker.runs.flow_code import FlowCode, FlowCodeError, check_job_variables, code_directory


def deployment(**what: Any) -> DeploymentResponse:
    return DeploymentResponse(id=uuid4(), name="it", flow_id=uuid4(), **what)


def set_working_directory(directory: str, step: str = "prefect.deployments.steps.set_working_directory") -> Any:
    return {step: {"directory": directory}}


def test_the_code_is_where_the_pull_step_says(tmp_path: Path) -> None:
    for step in (
        "prefect.deployments.steps.set_working_directory",
        "prefect.deployments.steps.pull.set_working_directory",
    ):
        assert code_directory(deployment(pull_steps=[set_working_directory(str(tmp_path), step)])) == tmp_path


def test_without_a_pull_step_it_is_at_the_path_or_here(tmp_path: Path) -> None:
    assert code_directory(deployment(path=str(tmp_path))) == tmp_path
    assert code_directory(deployment()) == Path.cwd()


def test_a_relative_directory_starts_at_the_path(tmp_path: Path) -> None:
    here = deployment(path=str(tmp_path), pull_steps=[set_working_directory("inner")])
    assert code_directory(here) == tmp_path / "inner"


@pytest.mark.parametrize(
    "what",
    [
        {"pull_steps": [{"prefect.deployments.steps.git_clone": {"repository": "https://example.org"}}]},
        {"pull_steps": [{"prefect.deployments.steps.run_shell_script": {"script": "true"}}]},
        {"storage_document_id": uuid4()},
    ],
)
def test_code_that_would_have_to_be_fetched_is_refused(what: dict[str, Any]) -> None:
    with pytest.raises(FlowCodeError, match="does not fetch code"):
        code_directory(deployment(**what))


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = deployment(entrypoint="x.py:y", path=str(tmp_path / "missing"))
    with pytest.raises(FlowCodeError, match="missing"):
        FlowCode().load(missing)


def test_a_deployment_without_an_entry_point_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FlowCodeError, match="no entry point"):
        FlowCode().load(deployment(path=str(tmp_path)))


def test_job_variables_are_refused_by_name_without_their_values() -> None:
    with pytest.raises(FlowCodeError, match="env, image") as refused:
        check_job_variables("it", {"image": "x", "env": {"SECRET": "hidden"}, "labels": {}})
    assert "hidden" not in str(refused.value)
    check_job_variables("it", {"env": {}})
    check_job_variables("it", None)
