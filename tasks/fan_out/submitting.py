"""Turns pending children into flow runs of the child deployment: safe to repeat, by anyone, at any time."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound

from pco_store.ledger.fan_out.fan_outs import complete_if_done
from pco_store.ledger.fan_out.submissions import (
    Submission,
    look_at,
    record_flow_runs,
    take_back_expired,
    take_pending,
    unanswered_submissions,
)
from pco_store.ledger.runs import RunHandle
from tasks.fan_out.flow_runs import PER_REQUEST, make_flow_runs
from tasks.lifespan import Resources
from tasks.logs import sync_logger
from tasks.stopping import mark_crashed

AT_ONCE: Final = 2
"""Requests for flow runs at a time, each for many of them."""
MOST_BEGINNINGS: Final = 10
"""How often a child whose process dies is begun again. More than for a failure: its neighbours die with it."""
ANSWER_SECONDS: Final = 15.0
"""After so long without a flow run, the maker of a submission is taken for dead and the submission is made again."""


class NotDeployedError(Exception):
    """Prefect does not know a deployment that is needed."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Prefect does not know the deployment {name!r}; run `make deploy`, or set its name (settings)"
        )
        self.name = name

    def __reduce__(self) -> tuple[type["NotDeployedError"], tuple[str]]:
        return type(self), (self.name,)


_known: ContextVar[dict[str, DeploymentResponse] | None] = ContextVar("known_deployments", default=None)


@contextmanager
def deployments_read_once() -> Iterator[None]:
    """Inside the block each deployment is asked for once, however many of its runs are started."""
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


async def find_deployment(client: PrefectClient, name: str) -> DeploymentResponse:
    """A deployment by `flow/deployment`. Raises `NotDeployedError`."""
    known = _known.get()
    if known is not None and name in known:
        return known[name]
    try:
        found = await client.read_deployment_by_name(name)
    except ObjectNotFound:
        raise NotDeployedError(name) from None
    if known is not None:
        known[name] = found
    return found


async def check_children_can_run(name: str) -> str | None:
    """What keeps children from being run, for a person: no worker polls the pool; None if nothing does.

    Raises `NotDeployedError`.
    """
    async with get_client() as client:
        deployment = await find_deployment(client, name)
        if deployment.work_pool_name is None:
            return f"the deployment {name} has no work pool"
        pool = await client.read_work_pool(deployment.work_pool_name)
    if pool.is_paused:
        return f"the work pool {pool.name} is paused"
    if pool.status is not None and pool.status.value == "NOT_READY":
        return f"no worker polls the work pool {pool.name}; the children wait until one is started (`make worker`)"
    return None


async def submit_more(resources: Resources, root: RunHandle) -> int:
    """Submit what may be under way, take back what fell silent, complete what is done; how many were submitted.

    Prefect being away is no error here: what is written down and not answered is submitted again later.
    """
    plan = root.fan_out
    assert plan is not None, "only a fan-out has children"
    async with resources.database.statement() as connection:
        outlook = await look_at(connection, root.run_id)
    if not outlook.wants_more(plan.most_under_way):
        return 0
    silent: list[str] = []
    async with resources.database.transaction() as connection:
        if outlook.has_expired:
            silent = await take_back_expired(connection, root.run_id, most_attempts=MOST_BEGINNINGS)
        if not outlook.has_pending and not silent:
            await complete_if_done(connection, root.run_id)
            return 0
        submissions = await take_pending(
            connection, root.run_id, per_run=plan.groups_per_run, most_under_way=plan.most_under_way
        )
    await mark_crashed(silent, "its worker fell silent; others continue its children")
    return await submit(resources, root, submissions)


async def submit_unanswered(resources: Resources, root: RunHandle) -> int:
    """Make the flow runs of submissions whose maker died in between; how many."""
    async with resources.database.transaction() as connection:
        patience = min(ANSWER_SECONDS, resources.settings.start_seconds)
        left = await unanswered_submissions(connection, root.run_id, older_than_seconds=patience)
    return await submit(resources, root, left)


async def submit(resources: Resources, root: RunHandle, submissions: Sequence[Submission]) -> int:
    """Ask Prefect for the flow runs, each under its key, and write down which they are."""
    if not submissions:
        return 0
    room = asyncio.Semaphore(AT_ONCE)
    async with get_client() as client:
        try:
            deployment = await find_deployment(client, resources.settings.child_deployment)
        except (httpx.HTTPError, NotDeployedError) as error:
            sync_logger().warning("%d submissions wait: %s", len(submissions), error)
            return 0

        async def ask(some: Sequence[Submission]) -> int:
            async with room:
                made = await make_flow_runs(client, deployment.id, root.entity, some)
            async with resources.database.transaction() as connection:
                await record_flow_runs(connection, made)
            return len(made)

        parts = [submissions[start : start + PER_REQUEST] for start in range(0, len(submissions), PER_REQUEST)]
        return sum(await asyncio.gather(*(ask(part) for part in parts)))
