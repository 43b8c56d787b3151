"""The long runs of `make chaos`: each prints figures and seed, and the exit status says whether all are clean."""

import argparse
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.chaos.blows import Plan
from tests.chaos.house import ChaosHouse, chaos_house
from tests.chaos.importing import run_import
from tests.chaos.ordering import run_order
from tests.chaos.posting import run_posts
from tests.chaos.report import Report
from tests.chaos.soak import run_soak
from tests.chaos.stopping import run_stops
from tests.chaos.surviving import run_supervisor

IDLE_SECONDS = 3
RECOVERY_SECONDS = 5.0

Run = Callable[[ChaosHouse, argparse.Namespace], Report]


def kills(house: ChaosHouse, options: argparse.Namespace) -> Report:
    return _import("kills", house, options, Plan(options.seed, options.kills))


def mixed(house: ChaosHouse, options: argparse.Namespace) -> Report:
    plan = Plan(options.seed, options.kills, flushes=9, valkey_kills=6, crashes=5, outage_seconds=60.0)
    return _import("mixed", house, options, plan)


def _import(name: str, house: ChaosHouse, options: argparse.Namespace, plan: Plan) -> Report:
    records = options.records or 500_000
    return run_import(house, plan, records=records, name=name, recovery_bound_seconds=RECOVERY_SECONDS)


def posts(house: ChaosHouse, options: argparse.Namespace) -> Report:
    return run_posts(house, seed=options.seed, crashes=5, seconds=60)


def order(house: ChaosHouse, options: argparse.Namespace) -> Report:
    return run_order(house, seed=options.seed, keys=options.records or 60_000, rounds=5)


def supervisor(house: ChaosHouse, options: argparse.Namespace) -> Report:
    return run_supervisor(house, seed=options.seed, records=options.records or 300_000, kills=5)


def stopped(house: ChaosHouse, options: argparse.Namespace) -> Report:
    records = options.records or 300_000
    return run_stops(house, seed=options.seed, records=records, stops=10, idle_seconds=IDLE_SECONDS)


def soak(house: ChaosHouse, options: argparse.Namespace) -> Report:
    return run_soak(house, seed=options.seed, minutes=options.minutes)


RUNS: dict[str, Run] = {
    "kills": kills,
    "mixed": mixed,
    "posts": posts,
    "order": order,
    "supervisor": supervisor,
    "stopped": stopped,
    "soak": soak,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--run", action="append", choices=RUNS, help="default: all; may be given several times")
    parser.add_argument("--records", type=int, help="default: the run's full size")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=30.0, help="of the soak")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--workers", type=int, default=3)
    options = parser.parse_args()
    clean = True
    for name in options.run or RUNS:
        with (
            tempfile.TemporaryDirectory(prefix="longshore-chaos-") as folder,
            chaos_house(Path(folder) / "data", **_environment(name, options)) as house,
        ):
            report = RUNS[name](house, options)
        print(f"{name} {report.line()}", flush=True)
        clean = clean and not report.faults()
    print("clean" if clean else "NOT CLEAN")
    return 0 if clean else 1


def _environment(name: str, options: argparse.Namespace) -> dict[str, str]:
    workers = {"WORKERS": str(options.workers)}
    return {**workers, "DATABASE_IDLE_SECONDS": str(IDLE_SECONDS)} if name == "stopped" else workers


if __name__ == "__main__":
    sys.exit(main())
