"""The supervisor dies again and again in the middle of an import, and is asked to stop; nothing is left or lost."""

import random
import signal
import time
from dataclasses import dataclass, field
from typing import Final

import psutil

from tests.chaos.blows import Database, wait_until
from tests.chaos.house import ChaosHouse
from tests.chaos.importing import body, push, read_back, wait_for_end
from tests.chaos.report import Report

CHILDREN_SECONDS: Final = 30.0
STOP_SECONDS: Final = 180.0


@dataclass
class Survival(Report):
    """`survivors` counts processes that outlived their supervisor; seconds are the longest of all times."""

    records: int = 0
    kills: int = 0
    stops: int = 0
    survivors: int = 0
    status: str = ""
    lost: int = -1
    doubled: int = -1
    unequal_accounts: int = -1
    children_ended_in_seconds: float = 0.0
    stop_status: int = 0
    stopped_in_seconds: float = 0.0
    ready_again_in_seconds: float = 0.0

    def faults(self) -> list[str]:
        found = [f"the job is {self.status}"] * (self.status != "completed")
        for name in ("survivors", "lost", "doubled", "unequal_accounts", "stop_status"):
            found += [f"{name}: {getattr(self, name)}"] * (getattr(self, name) != 0)
        return found


@dataclass
class _Ended:
    seconds: float
    survivors: list[psutil.Process] = field(default_factory=list)


def run_supervisor(
    house: ChaosHouse, *, seed: int, records: int, kills: int, stops: int = 1, size: int = 0
) -> Survival:
    """So many kill -9 of the supervisor and SIGTERM, all in one import."""
    chance, report = random.Random(seed), Survival(seed, records, kills, stops)
    who = house.enrol(f"Supervisor {seed}")
    database = Database(house)
    job = push(house, who, body(records, size))
    processed = f"SELECT processed FROM imports_importjob WHERE uuid = '{job}'"
    for number, blow in enumerate([*[signal.SIGKILL] * kills, *[signal.SIGTERM] * stops]):
        due = records * number // (kills + stops)
        wait_until(lambda due=due: (database.number(processed) or 0) >= due, 60)  # type: ignore[misc]
        time.sleep(chance.uniform(0.0, 0.3))
        family = psutil.Process(house.process.pid).children(recursive=True)
        began = time.monotonic()
        house.process.send_signal(blow)
        status = house.process.wait(STOP_SECONDS)
        if blow == signal.SIGTERM:
            report.stop_status = max(report.stop_status, abs(status))
            report.stopped_in_seconds = round(time.monotonic() - began, 2)
        wait_until(lambda family=family: not _living(family), CHILDREN_SECONDS)  # type: ignore[misc]
        report.survivors += len(_living(family))
        if blow == signal.SIGKILL:
            report.children_ended_in_seconds = max(report.children_ended_in_seconds, round(time.monotonic() - began, 2))
        began = time.monotonic()
        house.start_again()
        report.ready_again_in_seconds = max(report.ready_again_in_seconds, round(time.monotonic() - began, 2))
    wait_for_end(database, job)
    database.close()
    found = read_back(house, who)
    report.status = found["jobs"][job]
    report.lost = records - found["distinct"] + found["wrong"] + found["gaps"]
    report.doubled = found["doubled"] + found["processed"] - found["outcomes"].get("c", 0)
    report.unequal_accounts = found["unequal"]
    return report


def _living(family: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
