"""`python -m benchmarks [WORKLOAD...] [--runs N] [--json FILE]`: measure, and say which goals are met."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType

from prefect.context import refresh_global_settings_context
from rich.console import Console

from benchmarks.bench import PEOPLE, Bench
from benchmarks.figures import Record, machine
from benchmarks.workloads import (
    church,
    f1_children,
    f2_limited,
    f3_scheduling,
    f5_killed,
    large_plan,
    lean,
    many_churches,
    memory,
    million,
    quiet_day,
    w1_no_latency,
    w3_latency,
    w4_crash,
    w5_budget,
)
from embedded.home import usable_home
from embedded.services import Services

Workload = tuple[str, Callable[[Bench], None]]

WORKLOADS: Mapping[str, Workload] = {
    "w1": (w1_no_latency.TITLE, w1_no_latency.measure),
    "w3": (w3_latency.TITLE, w3_latency.measure),
    "w4": (w4_crash.TITLE, w4_crash.measure),
    "w5": (w5_budget.TITLE, w5_budget.measure),
    "f1": (f1_children.TITLE, f1_children.measure),
    "f2": (f2_limited.TITLE, f2_limited.measure),
    "f5": (f5_killed.TITLE, f5_killed.measure),
    "memory": (memory.TITLE, memory.measure),
    "quiet": (quiet_day.TITLE, quiet_day.measure),
    "lean": (lean.TITLE, lean.measure),
    "churches": (many_churches.TITLE, many_churches.measure),
    "million": (million.TITLE, million.measure),
    "plan": (large_plan.TITLE, large_plan.measure),
    "church": (church.TITLE, church.measure),
    "f3": (f3_scheduling.TITLE, f3_scheduling.measure),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when every goal that was measured is met."""
    options = _parser().parse_args(arguments)
    unknown = set(options.workloads) - WORKLOADS.keys()
    if unknown:
        print(f"error: unknown workload {', '.join(sorted(unknown))}; known: {', '.join(WORKLOADS)}", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    console = Console()
    console.print("  ".join(f"{name} {value}" for name, value in machine().items()), highlight=False)
    record = Record(console, options.json)
    home = usable_home(Path(tempfile.mkdtemp(prefix="pcb-")))
    services = Services(home)
    try:
        services.start(lambda what: console.print(what, style="dim"))
        os.environ.update(services.environment())
        refresh_global_settings_context()  # Prefect read the environment when it was imported
        bench = Bench(
            services,
            record,
            runs=options.runs,
            people=options.people,
            nights=options.nights,
            everything=options.everything,
            has_volunteers=options.volunteers,
            churches=options.churches,
            interval=options.interval,
            intervals=options.intervals,
            broken=options.broken,
        )
        for name in options.workloads or WORKLOADS:
            title, measure = WORKLOADS[name]
            console.print(f"\n[bold]{name.upper()}[/] {title}", highlight=False)
            measure(bench)
    except KeyboardInterrupt:
        console.print("interrupted")
        return 130
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
        services.stop()
        shutil.rmtree(home, ignore_errors=True)
    return 0 if record.show() else 1


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<8} {title}" for name, (title, _) in WORKLOADS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"{__doc__}\n\nworkloads:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="which to measure; none: all")
    parser.add_argument("--runs", type=int, default=5, help="how often what is quick is repeated (median is told)")
    parser.add_argument("--nights", type=int, default=0, metavar="N", help="nights of CHURCH after its first sync")
    parser.add_argument("--everything", action="store_true", help="let CHURCH mirror what is rarely wanted, too")
    parser.add_argument("--people", type=int, default=PEOPLE, metavar="N", help="of CHURCH; one group for 20 of them")
    parser.add_argument("--volunteers", action="store_true", help="let CHURCH have services, not three of everything")
    parser.add_argument("--churches", type=int, default=50, metavar="N", help="of CHURCHES")
    parser.add_argument("--interval", type=int, default=240, metavar="SECONDS", help="of the deltas of CHURCHES")
    parser.add_argument("--intervals", type=int, default=3, metavar="N", help="of CHURCHES; more show who is left out")
    parser.add_argument(
        "--broken",
        type=_ways,
        default=many_churches.WAYS,
        metavar="WAYS",
        help=f"of CHURCHES, a tenth in turn: none, or some of {','.join(many_churches.WAYS)} (default: all)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample and figure as a line of JSON")
    return parser


def _ways(text: str) -> tuple[str, ...]:
    ways = () if text == "none" else tuple(text.split(","))
    if unknown := set(ways) - set(many_churches.WAYS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return ways


if __name__ == "__main__":
    sys.exit(main())
