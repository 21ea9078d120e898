"""One warm worker for all tests that leave it running."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate

from pco_worker.worker import WarmWorker
from tests.acceptance.warm_workers import Pool, Worker, prefect, warm_worker
from tests.stack import Stack

_numbers = itertools.count(1)
SHARED = "warm-shared"


@pytest.fixture(scope="module")
def slow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the slow file looks."""
    return tmp_path_factory.mktemp("slow")


@pytest.fixture(scope="module")
def shared_worker(stack: Stack, slow_folder: Path) -> Iterator[Worker]:
    """A worker of the pool that `shared_pool` names, both made by Prefect's own commands."""
    prefect(stack, "work-pool", "create", SHARED, "--type", "warm")
    with warm_worker(stack, SHARED, "--limit", "10", SLOW_TO_LOAD_FOLDER=str(slow_folder)) as worker:
        yield worker


@pytest.fixture
def own_pool(stack: Stack) -> Iterator[Pool]:
    """A pool of this test, without a worker."""
    with _pool(stack, f"warm-{next(_numbers)}") as pool:
        template = WarmWorker.get_default_base_job_template()
        pool.client.create_work_pool(WorkPoolCreate(name=pool.name, type="warm", base_job_template=template))
        yield pool


@pytest.fixture
def pool(stack: Stack, shared_worker: Worker) -> Iterator[Pool]:
    """The pool of the shared worker."""
    with _pool(stack, SHARED) as pool:
        yield pool
        assert shared_worker.process.poll() is None, shared_worker.said()


@contextmanager
def _pool(stack: Stack, name: str) -> Iterator[Pool]:
    """The pool, with a client to the session's server."""
    with stack.settings(), get_client(sync_client=True) as client:
        yield Pool(name, client)
