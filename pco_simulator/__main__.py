"""`python -m pco_simulator`: serve a simulated Planning Center until it is told to stop."""

import argparse
import json
import os
import signal
import sys
from datetime import datetime
from pathlib import Path

from pco_simulator.answering.replay import Recording, read_captures
from pco_simulator.app import build_app
from pco_simulator.churches import nth_credential
from pco_simulator.contents.churn import Change
from pco_simulator.contents.records import ORGANIZATION
from pco_simulator.contents.world import World
from pco_simulator.rate_window import RateRules, WindowKind
from pco_simulator.server import listen, serve
from pco_simulator.settings import Drop, Settings
from pco_simulator.simulator import Simulator
from pco_simulator.trouble.faults import Fault


def main() -> int:
    """Exit code 0 when told to stop, 1 when it cannot listen, 2 for wrong arguments."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    options = _parser().parse_args()
    try:
        if options.churches < 1:
            raise ValueError(f"--churches {options.churches}: at least 1")
        simulators = [_simulator(options, number) for number in range(options.churches)]
        for collection in [one.world.collection(name) for one in simulators for name in options.prepare]:
            for identifier in collection.ids:
                collection.rendered(identifier)
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        listener = listen(options.host, options.port)
    except OSError as error:
        print(f"error: cannot listen on {options.host}:{options.port} ({error.strerror})", file=sys.stderr)
        return 1
    serve(build_app(*simulators), listener, end_with_stdin=options.end_with_stdin)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pco_simulator", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="0 takes a free one; the first line of output says which")
    add("--seed", type=int, default=1, help="the same seed invents the same church")
    add("--now", type=datetime.fromisoformat, metavar="TIME", help="what time it is there, with the weeks around it")
    add("--people", type=int, default=1000)
    add("--groups", type=int, default=50)
    add("--volunteers", type=int, help="of its services, with --plans; a church without them has three of everything")
    add("--plans", type=int)
    add(
        "--size",
        action="append",
        default=[],
        metavar="ENTITY=N",
        help="so many records of one kind",
    )
    add(
        "--churches",
        type=int,
        default=1,
        metavar="N",
        help="of that size; from the second on with seed, app id, secret +N",
    )
    add("--prepare", action="append", default=[], metavar="ENTITY", help="render its records before serving")
    add("--app-id", default=os.environ.get("PCO_SIMULATOR_APP_ID", "demo-application"), help="who is let in")
    add("--secret", default=os.environ.get("PCO_SIMULATOR_SECRET", "demo-secret"))
    add("--rate-limit", default="none", metavar="N/SECONDS", help="such as 100/20, PCO's own; none: no limit")
    add("--rate-window", choices=("sliding", "fixed"), default="sliding")
    add("--deep-limit", type=int, default=75, metavar="N", help="the limit for offsets above 30,000")
    add("--drop", metavar="LIMIT@REQUEST", help="such as 10@500: the limit is 10 after 500 requests")
    add("--latency-ms", type=float, default=0.0, help="mean; each answer takes half to one and a half of it")
    add("--forbid", action="append", default=[], metavar="PRODUCT", help="a product that answers 403")
    add("--faults", type=Path, metavar="FILE", help="a JSON list of faults (pco_simulator/trouble/faults.py)")
    add("--churn", type=Path, metavar="FILE", help="a JSON list of changes (pco_simulator/contents/churn.py)")
    add("--replay", type=Path, metavar="FILE", help="serve recorded answers: a JSON list of captures")
    add("--gzip", action="store_true", help="compress answers as PCO does; costs speed")
    add("--end-with-stdin", action="store_true", help="stop when stdin is closed: whoever started it is gone")
    return parser


def _simulator(options: argparse.Namespace, number: int) -> Simulator:
    app_id, secret = nth_credential(options.app_id, options.secret, number)
    settings = Settings(
        credentials={app_id: secret},
        rules=_rules(options),
        latency=options.latency_ms / 1000,
        forbidden=frozenset(options.forbid),
        gzip=options.gzip,
    )
    recording = Recording(read_captures(options.replay.read_text("utf-8"))) if options.replay else None
    if options.now is not None and options.now.tzinfo is None:
        raise ValueError(f"--now {options.now.isoformat()}: write the time with its zone, such as 2026-11-28T09:00:00Z")
    world = World(
        seed=options.seed + number,
        people=options.people,
        groups=options.groups,
        volunteers=options.volunteers,
        plans=options.plans,
        now=options.now,
        sizes=dict(map(_size, options.size)),
        church={**ORGANIZATION, "id": str(int(ORGANIZATION["id"]) + number)},
    )
    simulator = Simulator(world, settings, recording=recording)
    if options.faults:
        simulator.faults.replace([Fault(**one) for one in json.loads(options.faults.read_text("utf-8"))])
    if options.churn:
        simulator.churn.waiting = [Change(**one) for one in json.loads(options.churn.read_text("utf-8"))]
    if options.drop:
        limit, request = _two_numbers("--drop", options.drop, "@")
        simulator.drops.append(Drop(limit=limit, after_request=request))
    return simulator


def _rules(options: argparse.Namespace) -> RateRules:
    kind: WindowKind = "fixed" if options.rate_window == "fixed" else "sliding"
    if options.rate_limit == "none":
        return RateRules(deep_limit=options.deep_limit, window=kind)
    limit, period = _two_numbers("--rate-limit", options.rate_limit, "/")
    return RateRules(limit=limit, period=period, deep_limit=options.deep_limit, window=kind)


def _size(text: str) -> tuple[str, int]:
    entity, _, number = text.partition("=")
    if not number.isdecimal():
        raise ValueError(f"--size {text!r}: write an entity and a number, such as giving.Donation=400000")
    return entity, int(number)


def _two_numbers(flag: str, text: str, between: str) -> tuple[int, int]:
    first, _, second = text.partition(between)
    if not (first.isdecimal() and second.isdecimal()):
        raise ValueError(f"{flag} {text!r}: write two numbers with {between} between them")
    return int(first), int(second)


if __name__ == "__main__":
    sys.exit(main())
