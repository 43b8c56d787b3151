"""The long runs of `make chaos`: each prints figures and seed, and the exit status says whether all are clean."""

import argparse
import random
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from config.embedded import EmbeddedServers
from tests.chaos.alone import alone
from tests.chaos.blows import Plan
from tests.chaos.control import run_control
from tests.chaos.house import ChaosHouse, chaos_house
from tests.chaos.importing import run_import
from tests.chaos.ordering import run_order
from tests.chaos.posting import run_posts
from tests.chaos.report import Report
from tests.chaos.retrying import run_retries
from tests.chaos.rotation import run_rotation
from tests.chaos.soak import run_soak
from tests.chaos.stopping import run_stops
from tests.chaos.surviving import run_supervisor
from tests.chaos.undoing import run_undoing

IDLE_SECONDS = 3
RECOVERY_SECONDS = 5.0
CONTROL_KILLS = 120
ROTATION_KILLS = 20
UNDO_KILLS = 5
LOCKED = 60

InHouse = Callable[[ChaosHouse, argparse.Namespace], Report]
Run = Callable[[Path, argparse.Namespace], Report]


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


def retries(house: ChaosHouse, options: argparse.Namespace) -> Report:
    records = options.records or 50_000
    return run_retries(house, seed=options.seed, records=records, bad=max(records // 50, 2), locked=LOCKED)


def supervisor(house: ChaosHouse, options: argparse.Namespace) -> Report:
    return run_supervisor(house, seed=options.seed, records=options.records or 300_000, kills=5)


def stopped(house: ChaosHouse, options: argparse.Namespace) -> Report:
    records = options.records or 300_000
    return run_stops(house, seed=options.seed, records=records, stops=10, idle_seconds=IDLE_SECONDS)


def soak(house: ChaosHouse, options: argparse.Namespace) -> Report:
    return run_soak(house, seed=options.seed, minutes=options.minutes)


def control(folder: Path, options: argparse.Namespace) -> Report:
    servers = EmbeddedServers(folder / "data")
    addresses = servers.start(output=folder / "servers.log")
    try:
        return run_control(
            addresses.database_url,
            addresses.redis_url,
            seed=options.seed,
            records=options.records or 300_000,
            kills=min(options.kills, CONTROL_KILLS),
            workers=options.workers,
        )
    finally:
        servers.stop()


def rotation(_folder: Path, options: argparse.Namespace) -> Report:
    arguments = {"records": options.records or 500_000, "kills": min(options.kills, ROTATION_KILLS)}
    return _alone(run_rotation, **arguments, seed=options.seed, work_seconds=3.0)


def undo(_folder: Path, options: argparse.Namespace) -> Report:
    arguments = {"records": options.records or 100_000, "kills": min(options.kills, UNDO_KILLS)}
    return _alone(run_undoing, **arguments, seed=options.seed, work_seconds=2.0)


def _alone(run: Callable[..., Report], **arguments: Any) -> Report:
    """In a process of its own, since it works in a Django that is set up for a test database."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(partial(alone, run, **arguments)).result()


def in_house(run: InHouse, **environment: object) -> Run:
    """The run in a house of its own in the folder."""

    def go(folder: Path, options: argparse.Namespace) -> Report:
        settings = {"WORKERS": options.workers, **environment}
        with chaos_house(folder / "data", **{name: str(value) for name, value in settings.items()}) as house:
            return run(house, options)

    return go


RUNS: dict[str, Run] = {
    "kills": in_house(kills),
    "mixed": in_house(mixed),
    "control": control,
    "posts": in_house(posts),
    "order": in_house(order),
    "retries": in_house(retries, WORKER_LOCK_SECONDS=1),
    "supervisor": in_house(supervisor),
    "stopped": in_house(stopped, DATABASE_IDLE_SECONDS=IDLE_SECONDS),
    "rotation": rotation,
    "undo": undo,
    "soak": in_house(soak),
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
        with tempfile.TemporaryDirectory(prefix="longshore-chaos-") as folder:
            report = RUNS[name](Path(folder), options)
        print(f"{name} {report.line()}", flush=True)
        clean = clean and not report.faults()
    print("clean" if clean else "NOT CLEAN")
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
