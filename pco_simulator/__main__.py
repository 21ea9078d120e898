"""`python -m pco_simulator`: serve a simulated Planning Center until it is told to stop."""

import argparse
import json
import sys
from pathlib import Path

from pco_simulator.app import Settings, Simulator
from pco_simulator.churn import Change
from pco_simulator.faults import Fault
from pco_simulator.rate_window import RateRules
from pco_simulator.replay import Recording
from pco_simulator.server import serve
from pco_simulator.world import World


def main() -> int:
    options = _parser().parse_args()
    try:
        simulator = _simulator(options)
        if options.prepare:
            collection = simulator.world.collection(options.prepare)
            for record_id in collection.ids:
                collection.rendered(record_id)
    except (ValueError, TypeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        serve(simulator, options.host, options.port)
    except OSError as error:
        print(f"error: cannot listen on {options.host}:{options.port} ({error.strerror})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pco_simulator", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="0 takes a free one; the first line of output says which")
    add("--seed", type=int, default=1, help="the same seed invents the same church")
    add("--people", type=int, default=1000)
    add("--groups", type=int, default=50)
    add("--prepare", metavar="ENTITY", help="render this entity's records before serving, such as people.Person")
    add("--app-id", default="demo-application", help="the application id that is let in")
    add("--secret", default="demo-secret")
    add("--rate-limit", default="none", metavar="N/SECONDS", help="such as 100/20, PCO's own; none: no limit")
    add("--rate-window", choices=("sliding", "fixed"), default="sliding")
    add("--latency-ms", type=float, default=0.0, help="mean; each answer takes half to one and a half of it")
    add("--forbid", action="append", default=[], metavar="PRODUCT", help="a product the credential may not read")
    add("--faults", type=Path, metavar="FILE", help="a JSON list of faults (pco_simulator/faults.py)")
    add("--churn", type=Path, metavar="FILE", help="a JSON list of changes (pco_simulator/churn.py)")
    add("--replay", type=Path, metavar="FILE", help="serve recorded answers: a JSON list of captures")
    return parser


def _simulator(options: argparse.Namespace) -> Simulator:
    settings = Settings(
        credentials={options.app_id: options.secret},
        rules=_rules(options.rate_limit, options.rate_window),
        latency=options.latency_ms / 1000,
        forbidden=frozenset(options.forbid),
    )
    recording = Recording(json.loads(options.replay.read_text())) if options.replay else None
    simulator = Simulator(World(seed=options.seed, people=options.people, groups=options.groups), settings, recording)
    if options.faults:
        simulator.faults.faults = [Fault(**one) for one in json.loads(options.faults.read_text())]
    if options.churn:
        simulator.churn.waiting = [Change(**one) for one in json.loads(options.churn.read_text())]
    return simulator


def _rules(text: str, kind: str) -> RateRules:
    if text == "none":
        return RateRules()
    limit, slash, period = text.partition("/")
    if not (slash and limit.isdecimal() and period.isdecimal()):
        raise ValueError(f"--rate-limit {text!r}: write it as 100/20, or none")
    return RateRules(limit=int(limit), period=int(period), kind="fixed" if kind == "fixed" else "sliding")


if __name__ == "__main__":
    sys.exit(main())
