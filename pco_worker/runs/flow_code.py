"""Loads the flow of a deployment once, and keeps it.

A process has one working directory and one `sys.modules`, so a warm worker serves the code of **one** directory: that
of the first deployment it runs. New code needs a new worker.
"""

import os
import threading
from pathlib import Path
from typing import Any, Final

from prefect.client.schemas.responses import DeploymentResponse
from prefect.flows import Flow, load_flow_from_entrypoint

from pco_worker.installed_code import ENTER, CodeNotFoundError, installed_code

SET_WORKING_DIRECTORY: Final = "prefect.deployments.steps.set_working_directory"
ITS_OTHER_NAME: Final = "prefect.deployments.steps.pull.set_working_directory"


class FlowCodeError(Exception):
    """The flow of a deployment cannot be run here; the message says why and what to do."""


class FlowCode:
    """The loaded flows of one directory. Its methods may be called from any thread."""

    def __init__(self) -> None:
        self._flows: dict[str, Flow[..., Any]] = {}
        self._directory: Path | None = None
        self._loading = threading.Lock()

    def loaded(self, deployment: DeploymentResponse) -> Flow[..., Any] | None:
        """The deployment's flow, if it was loaded before."""
        if deployment.entrypoint is None or code_directory(deployment) != self._directory:
            return None
        return self._flows.get(deployment.entrypoint)

    def load(self, deployment: DeploymentResponse) -> Flow[..., Any]:
        """Load the deployment's flow, the first time by running its file. Raises `FlowCodeError`."""
        check_job_variables(deployment.name, deployment.job_variables)
        directory = code_directory(deployment)
        entrypoint = deployment.entrypoint
        if entrypoint is None:
            raise FlowCodeError(f"The deployment {deployment.name!r} has no entry point.")
        with self._loading:
            self._enter(directory, deployment.name)
            if (known := self._flows.get(entrypoint)) is not None:
                return known
            try:
                flow: Flow[..., Any] = load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
            except BaseException as error:  # SystemExit at import time would end the thread
                cause = error.__cause__ or error
                raise FlowCodeError(
                    f"The flow code {entrypoint!r} in {str(directory)!r} cannot be loaded: "
                    f"{type(cause).__name__}: {cause}"
                ) from error
            if flow.isgenerator:
                raise FlowCodeError(f"The flow {entrypoint!r} is a generator; a warm worker does not run those.")
            self._flows[entrypoint] = flow
            return flow

    def _enter(self, directory: Path, deployment: str) -> None:
        if self._directory == directory:
            return
        if self._directory is not None:
            raise FlowCodeError(
                f"This warm worker runs the code of {str(self._directory)!r}, and the deployment {deployment!r} "
                f"lives in {str(directory)!r}. Give each directory a work pool and a worker of its own."
            )
        try:
            os.chdir(directory)
        except OSError as error:
            raise FlowCodeError(
                f"The deployment {deployment!r} wants its code from {str(directory)!r}, "
                f"which cannot be entered here: {error.strerror}"
            ) from error
        self._directory = directory


def code_directory(deployment: DeploymentResponse) -> Path:
    """Where the deployment's entry point is to be found on this machine. Raises `FlowCodeError`.

    Of pull steps only `set_working_directory` and our own are understood: the code must be there already.
    """
    if deployment.storage_document_id is not None:
        raise FlowCodeError(f"The deployment {deployment.name!r} keeps its code in a storage block. {_NOT_FETCHED}")
    directory = Path(deployment.path).expanduser() if deployment.path else Path.cwd()
    for step in deployment.pull_steps or []:
        for name, inputs in step.items():
            if name == ENTER:
                directory = _installed_code()
                continue
            if name not in (SET_WORKING_DIRECTORY, ITS_OTHER_NAME):
                raise FlowCodeError(f"The deployment {deployment.name!r} has the pull step {name}. {_NOT_FETCHED}")
            directory = directory / Path(str(inputs["directory"])).expanduser()
    return directory.resolve()


def _installed_code() -> Path:
    try:
        return installed_code()
    except CodeNotFoundError as error:
        raise FlowCodeError(str(error)) from error


def check_job_variables(owner: str, variables: dict[str, Any] | None) -> None:
    """Refuse what a process that is shared by many runs cannot give to one of them. Raises `FlowCodeError`."""
    wanted = sorted(name for name, value in (variables or {}).items() if value)
    if wanted:
        raise FlowCodeError(
            f"{owner!r} asks for the job variables {', '.join(wanted)}. A warm worker runs all flows in one process "
            "and has none: set them for the worker, or use a process, Docker or Kubernetes work pool."
        )


_NOT_FETCHED: Final = (
    "A warm worker does not fetch code: put it on the worker's disk and use set_working_directory, "
    "or use a process, Docker or Kubernetes work pool."
)
