"""`python -m deployments COMMAND`: what the Makefile's targets run."""

import argparse
import atexit
import getpass
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from rich.console import Console
from rich.markup import escape

from deployments.environment import complete_environment
from deployments.exit_codes import DONE, INTERRUPTED
from deployments.foreseen import foreseen
from deployments.interrupts import interrupts
from embedded.home import services_home
from embedded.server_process import ServerProcess
from embedded.services import MIRROR_DATABASE, Services


class Terminal(Console):
    """A console that lets `main` know when nobody reads any more, instead of ending the process in the middle."""

    def on_broken_pipe(self) -> None:
        """Rich calls it. Raises `BrokenPipeError`."""
        raise BrokenPipeError


class Patterns(argparse.Action):
    """Patterns as words of their own, or several in one; they hold no blanks and commas."""

    def __call__(self, _: Any, options: argparse.Namespace, values: Any, __: str | None = None) -> None:
        words = [word for value in values for word in value.replace(",", " ").split()]
        setattr(options, self.dest, [*getattr(options, self.dest), *words])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit code."""
    options = _parser().parse_args(arguments)
    interrupts.begin()
    as_json = getattr(options, "json", False)
    console = Terminal(stderr=as_json)  # a program that asked for JSON finds nothing else on standard output
    problems = Terminal(stderr=True)
    try:
        command: Command = options.run
        code = command(options, Services(services_home()), console)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _report_interrupt(problems)
    except BrokenPipeError:
        return _leave_closed_output()
    except Exception as error:
        if _is_interrupt(error):
            return _report_interrupt(problems)
        known = foreseen(error)
        if known is None:
            raise
        line, code = known
        problems.print(f"[red]error:[/] {escape(line)}", highlight=False, soft_wrap=True)
        return code


def _report_interrupt(console: Console) -> int:
    console.print("\ninterrupted; start it again and it continues")
    return INTERRUPTED


def _leave_closed_output() -> int:
    """Who read the output has left, as `| head` does. What was printed last goes nowhere, or Python would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return INTERRUPTED


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether it began as Ctrl-C: Pydantic, at work while Prefect is imported, makes an error of its own of it."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt) or "KeyboardInterrupt" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


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
    _let_answer_programs(sync)
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
        command.add_argument(
            "--include", nargs="+", action=Patterns, default=[], metavar="PATTERN", help="such as people.*, giving"
        )
        command.add_argument("--exclude", nargs="+", action=Patterns, default=[], metavar="PATTERN")
    organization.add_argument("--epoch", help="which turn; left out, an unfinished one is continued, else a new one")
    organization.add_argument("--on-conflict", choices=("join", "reject", "restart"), default="join")
    organization.add_argument("--groups-per-run", type=int, default=50, help="parents per child flow run")
    organization.add_argument("--many-deletions", choices=("stop", "accept"), default="stop")
    organization.add_argument("--no-watch", action="store_true", help="return at once")
    _let_answer_programs(organization)
    verify = add(
        "verify", _verify, "compare mirrors with Planning Center; exit code 1 if one differs, 3 if nobody can tell"
    )
    verify.add_argument("org_id")
    verify.add_argument("entities", nargs="*", metavar="ENTITY", help="none: all that was read completely")
    verify.add_argument("--method", choices=("count", "sample", "full"), default="sample")
    verify.add_argument("--pages", type=int, help="how many pages, or owners, a sample compares")
    verify.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    add("explain", _explain, "say how a resource is read, and why").add_argument(
        "entity", help="such as people.Address"
    )


def _add_repairs(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    quarantine = add("quarantine", _quarantine, "list what could not be stored or fetched, without the records")
    replay = add("replay-quarantine", _replay_quarantine, "try again what could not be stored, and watch it")
    replay.add_argument("--no-watch", action="store_true", help="return at once")
    _let_answer_programs(quarantine, replay)
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
    fan_outs = add("fan-outs", _fan_outs, "list a church's fan-outs and its dead children")
    fan_outs.add_argument("org_id")
    replay = add("replay", _replay, "read the dead and cancelled children of a fan-out again, and watch")
    replay.add_argument("--no-watch", action="store_true", help="return at once")
    cancel = add("cancel", _cancel, "stop a fan-out: no child starts any more, and the running ones stop")
    for command in (replay, cancel):
        command.add_argument("org_id")
        command.add_argument("entity")
        command.add_argument("--epoch", required=True)
    _let_answer_programs(fan_out, fan_outs, replay)


def _let_answer_programs(*commands: argparse.ArgumentParser) -> None:
    for command in commands:
        command.add_argument("--json", action="store_true", help="print the result as JSON, and progress elsewhere")


def _demo(_: argparse.Namespace, services: Services, console: Console) -> int:
    from deployments.demonstration import Demo, demonstrate

    def load() -> Demo:
        from deployments.demo import run_demo

        return run_demo

    return demonstrate(services, console, load)


def _demo_crash(_: argparse.Namespace, services: Services, console: Console) -> int:
    from deployments.demonstration import Demo, demonstrate

    def load() -> Demo:
        from deployments.demo_crash import run_crash_demo

        return run_crash_demo

    return demonstrate(services, console, load)


def _up(_: argparse.Namespace, services: Services, console: Console) -> int:
    from deployments.waiting import waiting

    with waiting(console) as shown:
        services.start(shown.show)
        services.keep()
        complete_environment(services)
        shown.show("migrating the tables")
        _migrate(_, services, console)
        shown.show("deploying the flows")
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
    from deployments.status import show_status

    return show_status(services, console)


def _env(_: argparse.Namespace, services: Services, __: Console) -> int:
    from deployments.status import print_environment

    return print_environment(services)


def _psql(options: argparse.Namespace, services: Services, __: Console) -> int:
    """Works after `make down` and after the demo too: then PostgreSQL runs as long as psql does."""
    statement = () if options.c is None else ("-c", options.c)
    address = os.environ.get("PCO_SYNC_DATABASE_URL", "")
    if address and str(services.postgres.data) not in address:
        from deployments.psql import psql_for

        command, environment = psql_for(address, os.environ)
        return _run_psql([*command, *statement], environment)
    was_up = services.postgres.is_running
    services.postgres.start()
    try:
        services.postgres.create_database(MIRROR_DATABASE)
        return _run_psql([*services.postgres.psql_command(MIRROR_DATABASE), *statement], os.environ)
    finally:
        if not was_up:
            services.postgres.stop()


def _run_psql(command: Sequence[str], environment: Mapping[str, str]) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to psql, where it ends a statement
    return subprocess.run(command, env=environment, preexec_fn=_take_interrupts, check=False).returncode


def _migrate(_: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.migrating import migrate_and_fill

    return migrate_and_fill(os.environ["PCO_SYNC_DATABASE_URL"], console)


def _views(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.views import make_views

    return interrupts.run(make_views(options.org_id, console))


def _deploy(_: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.provision import provision

    for pool, deployments in interrupts.run(provision()).items():
        console.print(
            f"deployed {', '.join(deployments)} to the work pool {pool}", highlight=False, markup=False, soft_wrap=True
        )
    return DONE


def _worker(options: argparse.Namespace, services: Services, __: Console) -> int:
    complete_environment(services)
    from deployments.arguments import WrongArgumentError
    from deployments.declared import declared_pool
    from deployments.provision import other_type
    from deployments.worker import worker_command, worker_environment

    pool = declared_pool()
    kind = interrupts.run(other_type(pool))
    if kind is not None:
        raise WrongArgumentError(
            f"the work pool {pool} of prefect.yaml is of the type {kind}; "
            f"its worker is started by: .venv/bin/prefect worker start --pool {pool}"
        )
    command = worker_command(options.limit)
    os.execve(command[0], command, worker_environment(os.environ))


def _connect(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.connect import address_of, connect
    from deployments.prefect_trouble import check_prefect, shown
    from tasks.credentials import is_live

    address = address_of(options.org_id, options.base_url)
    if not is_live(address):
        warning = f"the token will be sent to {shown(address)}, not to Planning Center"
        console.print(warning, markup=False, highlight=False, soft_wrap=True)
    check_prefect()
    console.print(
        "A Personal Access Token is made at https://api.planningcenteronline.com/oauth/applications", soft_wrap=True
    )
    application_id = os.environ.get("PCO_SYNC_APPLICATION_ID") or input("Application ID: ").strip()
    secret = os.environ.get("PCO_SYNC_SECRET") or getpass.getpass("Secret (not shown): ").strip()
    name = interrupts.run(connect(options.org_id, application_id, secret, address))
    console.print(
        f"connected: PCO knows this token as [bold]{escape(name)}[/]; "
        f"stored as the block pco-credentials/{options.org_id}",
        soft_wrap=True,
    )
    return 0


def _sync(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.sync import sync

    return interrupts.run(sync(options, console))


def _organization(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.organization import organization

    return interrupts.run(organization(options, console))


def _plan(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.plan import show_plan

    return interrupts.run(show_plan(options, console))


def _verify(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.verify import verify

    return interrupts.run(verify(options, console))


def _explain(options: argparse.Namespace, _: Services, console: Console) -> int:
    from deployments.plan import show_explanation

    return show_explanation(options.entity, console)


def _fan_out(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.fan_out import fan_out

    return interrupts.run(fan_out(options, console))


def _fan_outs(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.fan_out import show_fan_outs

    return interrupts.run(show_fan_outs(options, console))


def _replay(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.fan_out import replay

    return interrupts.run(replay(options, console))


def _cancel(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.fan_out import cancel

    return interrupts.run(cancel(options, console))


def _quarantine(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.quarantine import show_quarantine

    return interrupts.run(show_quarantine(options, console))


def _replay_quarantine(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.quarantine import replay_quarantine

    return interrupts.run(replay_quarantine(options, console))


def _reproject(options: argparse.Namespace, services: Services, console: Console) -> int:
    complete_environment(services)
    from deployments.reproject import reproject

    return interrupts.run(reproject(options, console))


def _take_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def end(code: int) -> NoReturn:
    """End the process at once. Python would first destroy all that Prefect loaded, silently and for seconds."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    end(main())
