"""The whole thing with an invented church: simulator, deployment, worker, a sync as a deployment run, its table."""

import asyncio
import os
import shlex
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from prefect.client.schemas.objects import FlowRun
from rich.console import Console

from deployments.provision import provision, save_credentials
from deployments.report import show_mirror
from deployments.start import start_sync
from deployments.watch import watch
from deployments.worker import worker_command, worker_process
from embedded.server_process import ServerProcess, free_port
from embedded.services import MIRROR_DATABASE, Services
from pco_store.migrate import migrate

ORG = "demo"
ENTITY = "people.Person"
PEOPLE = 9_000
APPLICATION_ID = "demo-application"
SECRET = "demo-secret"  # noqa: S105 - opens nothing but the simulator
PROJECT = Path(__file__).parent.parent


def run_demo(services: Services, console: Console, running: ExitStack) -> bool:
    """Run it; what it starts is put on `running` to be ended. Whether the sync completed."""
    console.print(f"[bold]Planning Center to Postgres[/], with an invented church of {PEOPLE:,} people\n")
    simulator = ServerProcess(name="simulator", home=services.home)
    running.callback(simulator.stop)
    base_url = _start_simulator(simulator)
    console.print(f"  [green]✓[/] Planning Center simulator   {base_url} (60 ms an answer, 100 requests per 20 s)")
    asyncio.run(migrate(os.environ["PCO_SYNC_DATABASE_URL"]))
    console.print("  [green]✓[/] tables                      214 resources, one schema a product")
    asyncio.run(_provision(base_url))
    console.print("  [green]✓[/] work pool and deployment    from prefect.yaml")
    worker = worker_process(services.home)
    running.callback(worker.stop)
    _start_worker(worker)
    console.print("  [green]✓[/] worker                      of the work pool pco-sync")
    console.print(f"  [green]✓[/] Prefect UI                  {services.prefect.ui_url}\n")
    run = asyncio.run(_sync(console))
    if run.state is None or not run.state.is_completed():
        said = run.state.message if run.state else "no state"
        console.print(f"\n[red]the sync did not complete[/]: {said}\n  worker's log: {worker.log}")
        return False
    console.print(f"  [green]✓[/] {services.prefect.ui_url}/runs/flow-run/{run.id}\n")
    asyncio.run(show_mirror(ORG, console))
    _say_what_next(services, console)
    return True


async def _provision(base_url: str) -> None:
    await provision()
    await save_credentials(ORG, application_id=APPLICATION_ID, secret=SECRET, base_url=base_url)


async def _sync(console: Console) -> FlowRun:
    started = await start_sync(ORG, ENTITY)
    return await watch(started.flow_run.id, ORG, ENTITY, console)


def _start_simulator(process: ServerProcess) -> str:
    process.stop()
    port = free_port(8899)
    base_url = f"http://127.0.0.1:{port}"
    process.start(
        [
            sys.executable, "-m", "pco_simulator", "--port", str(port), "--people", str(PEOPLE), "--seed", "1",
            "--latency-ms", "60", "--rate-limit", "100/20", "--app-id", APPLICATION_ID, "--secret", SECRET,
        ],
        environment={**os.environ, "PYTHONPATH": str(PROJECT)},
        is_ready=lambda: _answers(f"{base_url}/_simulator/stats"),
        facts={"port": port},
    )  # fmt: skip
    return base_url


def _start_worker(process: ServerProcess) -> None:
    process.stop()
    environment = {**os.environ, "PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_LOGGING_COLORS": "false"}
    process.start(worker_command(limit=2), environment=environment, is_ready=lambda: True, facts={})


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _say_what_next(services: Services, console: Console) -> None:
    psql = shlex.join(services.postgres.psql_command(MIRROR_DATABASE))
    console.print(
        f"\n[bold]Look at it[/]        {psql} -c 'TABLE people.person LIMIT 5'"
        f"\n[bold]Watch it[/]          {services.prefect.ui_url}"
        "\n[bold]Your own church[/]   make up && make connect ORG=my-church     asks for your token"
        "\n                  make worker                               in a second terminal"
        "\n                  make sync ORG=my-church ENTITY=people.Person\n",
        soft_wrap=True,
        highlight=False,
    )
