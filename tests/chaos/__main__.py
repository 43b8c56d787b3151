"""The long runs of `make chaos`: each prints figures and seed, and the exit status says whether all are clean."""

import argparse
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.chaos.blows import Plan
from tests.chaos.house import ChaosHouse, chaos_house
from tests.chaos.importing import RECOVERY_SECONDS, run_import
from tests.chaos.posting import run_posts
from tests.chaos.report import Report
from tests.chaos.soak import run_soak

Run = Callable[[ChaosHouse, argparse.Namespace], Report]


def kills(house: ChaosHouse, options: argparse.Namespace) -> Report:
    return run_import(house, Plan(options.seed, options.kills), records=options.records or 500_000, name="kills")


def mixed(house: ChaosHouse, options: argparse.Namespace) -> Report:
    plan = Plan(options.seed, options.kills, flushes=9, valkey_kills=6, crashes=5, valkey_down_seconds=60.0)
    return run_import(house, plan, records=options.records or 500_000, name="mixed")


def posts(house: ChaosHouse, options: argparse.Namespace) -> Report:
    return run_posts(house, seed=options.seed, crashes=5, seconds=60)


def soak(house: ChaosHouse, options: argparse.Namespace) -> Report:
    return run_soak(house, seed=options.seed, minutes=options.minutes)


RUNS: dict[str, Run] = {"kills": kills, "mixed": mixed, "posts": posts, "soak": soak}


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
            chaos_house(Path(folder) / "data", WORKERS=str(options.workers)) as house,
        ):
            report = RUNS[name](house, options)
        faults = report.faults()
        if name in ("kills", "mixed") and report.recovery_seconds > RECOVERY_SECONDS:  # type: ignore[attr-defined]
            faults.append("work did not go on within 5 s of the last blow")
        print(f"{name} {report.line()}", flush=True)
        clean = clean and not faults
    print("clean" if clean else "NOT CLEAN")
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
