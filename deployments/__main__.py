"""`python -m deployments COMMAND`: what the Makefile's targets run."""

import argparse
import asyncio
import getpass
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from types import FrameType

from rich.console import Console
from rich.markup import escape

from deployments.environment import complete_environment
from embedded.home import services_home
from embedded.server_process import ServerProcess
from embedded.services import MIRROR_DATABASE, Services

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit code."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    console = Console()
    try:
        services = Services(services_home())
        command: Command = options.run
        return command(options, services, console)
    except KeyboardInterrupt:
        return _say_interrupted(console)
    except Exception as error:
        if _is_interrupt(error):
            return _say_interrupted(console)
        told = _told(error)
        if told is None:
            raise
        console.print(f"[red]error:[/] {escape(told)}", highlight=False, soft_wrap=True)
        return 1


def _say_interrupted(console: Console) -> int:
    console.print("\ninterrupted; start it again and it continues")
    return INTERRUPTED


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether it began as Ctrl-C: Pydantic, at work while Prefect is imported, makes an error of its own of it."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt) or "KeyboardInterrupt" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _told(error: Exception) -> str | None:
    """An error that was foreseen, in words; None for a defect, which is better shown with its traceback."""
    package = type(error).__module__.split(".")[0]
    if package in ("deployments", "embedded", "flows", "tasks", "pco_store", "pco_client", "pco_catalog"):
        return str(error)
    if isinstance(error, EOFError):
        return "the input ended; without a terminal set PCO_SYNC_APPLICATION_ID and PCO_SYNC_SECRET"
    if package == "httpx":
        return f"Prefect does not answer at {os.environ.get('PREFECT_API_URL')} ({type(error).__name__})"
    return None


Command = Callable[[argparse.Namespace, Services, Console], int]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deployments", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        return command

    add("demo", _demo, "run the main job from nothing, with a simulated church")
    add("demo-crash", _demo_crash, "kill a worker in the middle of a fan-out, and watch the rest go on")
    add("up", _up, "start PostgreSQL, Redis and the Prefect server, migrate, deploy, and leave them running")
    add("down", _down, "stop what runs in the data folder")
    add("status", _status, "say what runs and where")
    add("env", _env, 'print the variables for your shell: eval "$(python -m deployments env)"')
    psql = add("psql", _psql, "open psql on the mirror")
    psql.add_argument("-c", metavar="SQL", help="run one statement instead")
    add("migrate", _migrate, "bring the tables up to date")
    add("views", _views, "make the view of a church's custom fields anew").add_argument("org_id")
    add("deploy", _deploy, "create the work pool and the deployments of prefect.yaml")
    add("worker", _worker, "run a worker until Ctrl-C").add_argument(
        "--limit", type=int, default=10, help="flow runs at a time"
    )
    connect = add("connect", _connect, "check a church's Personal Access Token with PCO and store it with Prefect")
    connect.add_argument("org_id")
    connect.add_argument("--base-url", help="where PCO answers, for a simulator")
    sync = add("sync", _sync, "start a sync as a deployment run and watch it")
    sync.add_argument("org_id")
    sync.add_argument("entity", help="such as people.Person")
    sync.add_argument("--epoch", help="which turn; left out, an unfinished one is continued, else a new one opened")
    sync.add_argument("--on-conflict", choices=("join", "reject", "restart"), default="join")
    sync.add_argument("--mode", choices=("full", "delta"), default="full")
    sync.add_argument(
        "--many-deletions", choices=("stop", "accept"), default="stop", help="when more is missing than is likely"
    )
    sync.add_argument("--no-watch", action="store_true", help="return at once")
    _add_organization(add)
    _add_fan_out(add)
    _add_repairs(add)
    return parser


def _add_organization(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    organization = add("organization", _organization, "mirror a whole church, or a part of it, and watch")
    plan = add("plan", _plan, "ask PCO for counts, and say what a sync of a church would cost")
    for command in (organization, plan):
        command.add_argument("org_id")
        command.add_argument(
            "--mode", choices=("full", "delta", "rest"), default="full", help="rest: what no delta tells"
        )
        command.add_argument("--include", nargs="+", default=[], metavar="PATTERN", help="such as people.*, giving")
        command.add_argument("--exclude", nargs="+", default=[], metavar="PATTERN")
    organization.add_argument("--epoch", help="which turn; left out, an unfinished one is continued, else a new one")
    organization.add_argument("--on-conflict", choices=("join", "reject", "restart"), default="join")
    organization.add_argument("--groups-per-run", type=int, default=50, help="parents per child flow run")
    organization.add_argument("--many-deletions", choices=("stop", "accept"), default="stop")
    organization.add_argument("--no-watch", action="store_true", help="return at once")
    verify = add(
        "verify", _verify, "compare mirrors with Planning Center; exit code 1 if one differs, 3 if it is not known"
    )
    verify.add_argument("org_id")
    verify.add_argument("entities", nargs="*", metavar="ENTITY", help="none: every list that was read completely")
    verify.add_argument("--method", choices=("count", "sample", "full"), default="sample")
    verify.add_argument("--pages", type=int, help="how many pages a sample compares")
    add("explain", _explain, "say how a resource is read, and why").add_argument(
        "entity", help="such as people.Address"
    )


def _add_repairs(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    quarantine = add("quarantine", _quarantine, "list what could not be stored or fetched, without the records")
    replay = add("replay-quarantine", _replay_quarantine, "try again what could not be stored, and watch it")
    replay.add_argument("--no-watch", action="store_true", help="return at once")
    reproject = add("reproject", _reproject, "bring values from `extra` to columns that can hold them by now")
    quarantine.add_argument("org_id")
    replay.add_argument("org_id")
    whose = reproject.add_mutually_exclusive_group(required=True)
    whose.add_argument("org_id", nargs="?")
    whose.add_argument("--all", action="store_true", help="all churches")
    for command in (quarantine, replay, reproject):
        command.add_argument("--entity", help="such as people.Person; left out: all")


def _add_fan_out(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    fan_out = add("fan-out", _fan_out, "mirror what is listed per parent: a child flow run for each, and watch them")
    fan_out.add_argument("org_id")
    fan_out.add_argument("entity", help="such as groups.Membership")
    fan_out.add_argument("--epoch", required=True, help="which turn; the same one again continues it")
    fan_out.add_argument("--below", help="the parents, outermost first: groups.Group,groups.Event")
    fan_out.add_argument("--on-conflict", choices=("join", "reject", "restart"), default="join")
    fan_out.add_argument("--groups-per-run", type=int, default=1, help="parents per child flow run")
    fan_out.add_argument("--most-under-way", type=int, default=200, help="children submitted and unfinished at a time")
    fan_out.add_argument(
        "--many-deletions", choices=("stop", "accept"), default="stop", help="when more is missing than is likely"
    )
    fan_out.add_argument("--no-watch", action="store_true", help="return at once")
    add("fan-outs", _fan_outs, "list a church's fan-outs and its dead children").add_argument("org_id")
    for name, run, text in (
        ("replay", _replay, "give the dead and cancelled children of a fan-out their attempts again"),
        ("cancel", _cancel, "stop a fan-out: no child starts any more, and the running ones stop"),
    ):
        command = add(name, run, text)
        command.add_argument("org_id")
        command.add_argument("entity")
        command.add_argument("--epoch", required=True)


def _demo(_: argparse.Namespace, services: Services, console: Console) -> int:
    def run(running: ExitStack) -> bool:
        from deployments.demo import run_demo

        return run_demo(services, console, running)

    return _demonstrate(services, console, run)


def _demo_crash(_: argparse.Namespace, services: Services, console: Console) -> int:
    def run(running: ExitStack) -> bool:
        from deployments.demo_crash import run_crash_demo

        return run_crash_demo(services, console, running)

    return _demonstrate(services, console, run)


def _demonstrate(services: Services, console: Console, run: Callable[[ExitStack], bool]) -> int:
    was_up = services.is_running
    with ExitStack() as running:
        console.print("\n[bold]Planning Center to Postgres[/], with an invented church\n")
        if was_up:
            console.print("  the servers are up already and stay up", style="dim")
        else:
            running.callback(_say_stopped, console)
            running.callback(services.stop)
        running.callback(_ignore_interrupts, console)
        services.start(lambda name: console.print(f"  starting {name}", style="dim"))
        complete_environment(services)
        ok = run(running)
        if ok and not was_up and sys.stdin.isatty() and sys.stdout.isatty():
            console.print("The servers stay up for you to look around. Ctrl-C stops them; the data stays.")
            with suppress(KeyboardInterrupt):
                signal.pause()
    return 0 if ok else 1


def _up(_: argparse.Namespace, services: Services, console: Console) -> int:
    services.start(lambda name: console.print(f"starting {name}", style="dim"))
    complete_environment(services)
    _migrate(_, services, console)
    _deploy(_, services, console)
    return _status(_, services, console)


def _down(_: argparse.Namespace, services: Services, console: Console) -> int:
    for name in ("worker", "worker-2", "simulator"):
        if ServerProcess(name=name, home=services.home).stop():
            console.print(f"stopped {name}")
    for name in services.stop():
        console.print(f"stopped {name}")
    return 0


def _status(_: argparse.Namespace, services: Services, console: Console) -> int:
    if not services.is_running:
        console.print("nothing runs; `make up` starts the servers")
        return 1
    console.print(f"Prefect UI  {services.prefect.ui_url}", highlight=False)
    console.print(f"psql        {shlex.join(services.postgres.psql_command(MIRROR_DATABASE))}", soft_wrap=True)
    console.print(f"data        {services.home}", highlight=False)
    return 0


def _env(_: argparse.Namespace, services: Services, __: Console) -> int:
    for name, value in services.environment().items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _psql(options: argparse.Namespace, services: Services, __: Console) -> int:
    """Works after `make down` and after the demo too: then PostgreSQL runs as long as psql does."""
    was_up = services.postgres.is_running
    services.postgres.start()
    try:
        services.postgres.create_database(MIRROR_DATABASE)
        command = services.postgres.psql_command(MIRROR_DATABASE)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to psql, where it ends a statement
        statement = () if options.c is None else ("-c", options.c)
        return subprocess.run([*command, *statement], preexec_fn=_take_interrupts, check=False).returncode
    finally:
        if not was_up:
            services.postgres.stop()


def _migrate(_: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.migrating import migrate_and_fill

    return migrate_and_fill(os.environ["PCO_SYNC_DATABASE_URL"], console)


def _views(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.views import make_views

    return asyncio.run(make_views(options.org_id, console))


def _deploy(_: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.names import DEPLOYMENTS, WORK_POOL
    from deployments.provision import provision

    asyncio.run(provision())
    console.print(f"deployed {', '.join(DEPLOYMENTS)} to the work pool {WORK_POOL}", highlight=False)
    return 0


def _worker(options: argparse.Namespace, services: Services, __: Console) -> int:
    complete_environment(services)
    from deployments.worker import worker_command, worker_environment

    command = worker_command(options.limit)
    os.execve(command[0], command, worker_environment(os.environ))


def _connect(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.arguments import check_arguments
    from deployments.connect import connect

    check_arguments(options.org_id)
    console.print(
        "A Personal Access Token is made at https://api.planningcenteronline.com/oauth/applications", soft_wrap=True
    )
    application_id = os.environ.get("PCO_SYNC_APPLICATION_ID") or input("Application ID: ").strip()
    secret = os.environ.get("PCO_SYNC_SECRET") or getpass.getpass("Secret (not shown): ").strip()
    name = asyncio.run(connect(options.org_id, application_id, secret, options.base_url))
    console.print(
        f"connected: PCO knows this token as [bold]{escape(name)}[/]; "
        f"stored as the block pco-credentials/{options.org_id}",
        soft_wrap=True,
    )
    return 0


def _sync(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.sync import sync

    return asyncio.run(sync(options, console))


def _organization(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.organization import organization

    return asyncio.run(organization(options, console))


def _plan(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.plan import show_plan

    return asyncio.run(show_plan(options, console))


def _verify(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.verify import verify

    return asyncio.run(verify(options, console))


def _explain(options: argparse.Namespace, _: Services, console: Console) -> int:
    from deployments.plan import show_explanation

    return show_explanation(options.entity, console)


def _fan_out(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.fan_out import fan_out

    return asyncio.run(fan_out(options, console))


def _fan_outs(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.fan_out import show_fan_outs

    return asyncio.run(show_fan_outs(options.org_id, console))


def _replay(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.fan_out import replay

    return asyncio.run(replay(options, console))


def _cancel(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.fan_out import cancel

    return asyncio.run(cancel(options, console))


def _quarantine(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.quarantine import show_quarantine

    return asyncio.run(show_quarantine(options, console))


def _replay_quarantine(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.quarantine import replay_quarantine

    return asyncio.run(replay_quarantine(options, console))


def _reproject(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.reproject import reproject

    return asyncio.run(reproject(options, console))


def _take_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _ignore_interrupts(console: Console) -> None:
    """From here on only ends things; a second Ctrl-C must not leave half of them running."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    console.print("stopping what was started", style="dim")


def _say_stopped(console: Console) -> None:
    console.print("all stopped; `make demo` runs it again, `make up` keeps the servers running", style="dim")


if __name__ == "__main__":
    sys.exit(main())
