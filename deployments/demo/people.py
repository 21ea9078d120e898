"""The whole thing with an invented church: simulator, deployment, worker, a sync as a deployment run, its table."""

import os
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.utilities.urls import url_for
from rich.console import Console

from deployments.demo.fan_outs import GROUPS, demo_fan_outs
from deployments.ended import exit_code
from deployments.exit_codes import DONE
from deployments.interrupts import interrupts
from deployments.operations.mirror import show_mirror
from deployments.operations.sync import Summary, watch_to_the_end
from deployments.provisioning.declared import PROJECT, declared_deployments, declared_pool
from deployments.provisioning.provision import provision, save_credentials
from deployments.provisioning.worker import worker_command, worker_environment
from deployments.transaction import transaction
from deployments.waiting import SIGN_EVERY, waiting
from deployments.watching.announced import Failure
from embedded.server_process import ServerProcess, free_port
from embedded.services import Services
from pco_catalog.catalog import load_catalog
from pco_store.churches.wall import admit_churches
from pco_store.migrate import migrate
from tasks.deployment_runs import start_sync
from tasks.settings import SYNC_ENTITY

ORG = "demo"
ENTITY = "people.Person"
PEOPLE = 6_000
APPLICATION_ID = "demo-application"
SECRET = "demo-secret"  # noqa: S105 - opens nothing but the simulator
BRISK = {
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_LOGGING_COLORS": "false",
    "PCO_SYNC_LEASE_SECONDS": "10",
    "PCO_SYNC_START_SECONDS": "10",
}
"""What the demo's workers are told, unless your environment says otherwise."""


def run_demo(services: Services, console: Console, running: ExitStack) -> bool:
    """Run it; what it starts is put on `running` to be ended. Whether everything completed."""
    prepare_demo(services, console, running, groups=GROUPS, rate_limit="100/20", latency_ms=60)
    start_worker(services, running, name="worker", limit=10)
    tick(console, "worker", f"of the work pool {declared_pool()}, in one process")
    console.print()
    run, result = interrupts.run(_sync(console))
    if exit_code(result.outcome) != DONE:
        log = ServerProcess(name="worker", home=services.home).log
        console.print(f"\n[red]the sync did not complete[/]: {result.reason}\n  worker's log: {log}", soft_wrap=True)
        return False
    ok = interrupts.run(demo_fan_outs(ORG, console))
    console.print()
    interrupts.run(show_mirror(ORG, console))
    _say_what_next(run, console)
    return ok


def prepare_demo(
    services: Services, console: Console, running: ExitStack, *, groups: int, rate_limit: str, latency_ms: int
) -> None:
    """The simulated church, the tables and the deployments; what is started is put on `running` to be ended."""
    tick(console, "PostgreSQL, Redis", "real servers from Python wheels")
    tick(console, "Prefect", services.prefect.ui_url)
    simulator = ServerProcess(name="simulator", home=services.home)
    running.callback(simulator.stop)
    with waiting(console, "starting the simulated Planning Center"):
        base_url = _start_simulator(simulator, groups=groups, rate_limit=rate_limit, latency_ms=latency_ms)
    limited = "no rate limit" if rate_limit == "none" else "PCO's rate limit"
    tick(console, "simulated PCO", f"{base_url}, {PEOPLE:,} people, {limited}")
    with waiting(console, "making the tables"):
        interrupts.run(migrate(os.environ["PCO_SYNC_DATABASE_URL"]))
    tick(console, "tables", f"{len(load_catalog().entities())} kinds of records, a schema per product")
    with waiting(console, "deploying the flows"):
        interrupts.run(_provision(base_url))
    flows = sum(len(deployments) for deployments in declared_deployments().values())
    tick(console, "deployments", f"{flows} flows, from prefect.yaml")


def start_worker(services: Services, running: ExitStack, *, name: str, limit: int) -> int:
    """A warm worker with a short lease, so that what dies goes on soon; its pid."""
    process = ServerProcess(name=name, home=services.home)
    running.callback(process.stop)
    process.stop()
    environment = worker_environment({**BRISK, **os.environ})
    process.start(worker_command(limit=limit), environment=environment, is_ready=lambda: True, facts={})
    record = process.running()
    assert record is not None
    return record["pid"]


def tick(console: Console, what: str, how: str) -> None:
    """A line that says what is there."""
    console.print(f"  [green]✓[/] {what:<19} {how}", highlight=False, soft_wrap=True)


async def _provision(base_url: str) -> None:
    await provision()
    async with transaction() as connection:
        await admit_churches(connection, [ORG])
    await save_credentials(ORG, application_id=APPLICATION_ID, secret=SECRET, base_url=base_url)


async def _sync(console: Console) -> tuple[FlowRun, Summary | Failure]:
    with waiting(console, "requesting the sync"):
        run = await _left_waiting() or (await start_sync(ORG, ENTITY)).flow_run
    return run, await watch_to_the_end(run, ORG, ENTITY, console, below=False, print_every=SIGN_EVERY)


async def _left_waiting() -> FlowRun | None:
    """The run that a demo asked for and did not live to see: the worker takes it now, and a second one would only join.

    A run that was interrupted while it ran is none; a new one continues its epoch.
    """
    scheduled = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
    async with get_client() as client:
        deployment = await client.read_deployment_by_name(SYNC_ENTITY)
        left = await client.read_flow_runs(flow_run_filter=FlowRunFilter(state=scheduled))
    ours = {"org_id": ORG, "entity": ENTITY}
    return next(
        (run for run in left if run.deployment_id == deployment.id and ours.items() <= run.parameters.items()), None
    )


def _start_simulator(process: ServerProcess, *, groups: int, rate_limit: str, latency_ms: int) -> str:
    process.stop()
    port = free_port(8899)
    base_url = f"http://127.0.0.1:{port}"
    process.start(
        [
            sys.executable, "-m", "pco_simulator", "--port", str(port), "--people", str(PEOPLE), "--seed", "1",
            "--groups", str(groups), "--latency-ms", str(latency_ms), "--rate-limit", rate_limit,
            "--app-id", APPLICATION_ID, "--secret", SECRET,
        ],
        environment={**os.environ, "PYTHONPATH": str(PROJECT)},
        is_ready=lambda: _answers(f"{base_url}/_simulator/stats"),
        facts={"port": port},
    )  # fmt: skip
    return base_url


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _say_what_next(run: FlowRun, console: Console) -> None:
    console.print(
        f"\n[bold]The run[/]\n  {url_for(run)}"
        "\n[bold]The rows[/]\n  make psql SQL='SELECT id, first_name, last_name FROM people.person LIMIT 5'"
        "\n[bold]Your own church[/], with a Personal Access Token of Planning Center"
        "\n  make up && make connect ORG=my-church"
        "\n  make worker                                      in a second terminal"
        "\n  make sync ORG=my-church ENTITY=people.Person\n",
        soft_wrap=True,
        highlight=False,
    )
