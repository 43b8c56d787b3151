"""Work-horses that are stopped while they hold a batch: it goes on elsewhere, and they do no double work after."""

import random
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import psutil

from tests.chaos.blows import Database, wait_until
from tests.chaos.house import ChaosHouse
from tests.chaos.importing import body, push, read_back, wait_for_end
from tests.chaos.report import Report

# A work-horse at work never leaves its transaction idle for so long.
_HELD: Final = """
    SELECT count(*) FROM pg_stat_activity WHERE application_name = 'longshore-worker'
    AND state = 'idle in transaction' AND clock_timestamp() - state_change > interval '0.7 seconds'
"""


@dataclass
class Stops(Report):
    """`held` counts stops that kept a batch. The last work-horse stays stopped until the import has ended."""

    records: int = 0
    stops: int = 0
    held: int = 0
    let_go: int = 0
    longest_hold_seconds: float = 0.0
    ended_while_one_was_stopped: bool = False
    status: str = ""
    lost: int = -1
    doubled: int = -1
    unequal_accounts: int = -1

    def faults(self) -> list[str]:
        found = [f"the job is {self.status}"] * (self.status != "completed")
        found += ["no batch was held"] * (self.held == 0)
        found += ["a batch stayed held"] * (self.let_go != self.held)
        found += ["it did not end while one was stopped"] * (not self.ended_while_one_was_stopped)
        for name in ("lost", "doubled", "unequal_accounts"):
            found += [f"{getattr(self, name)} {name}"] * (getattr(self, name) != 0)
        return found


def run_stops(house: ChaosHouse, *, seed: int, records: int, stops: int, idle_seconds: int, size: int = 0) -> Stops:
    """For a house with DATABASE_IDLE_SECONDS=`idle_seconds` and two workers or more."""
    chance, report = random.Random(seed), Stops(seed, records, stops)
    who = house.enrol(f"Stops {seed}")
    database = Database(house)
    job = push(house, who, body(records, size))
    processed = f"SELECT processed FROM imports_importjob WHERE uuid = '{job}'"
    for number in range(stops):
        due = records * number // (stops + 1)
        wait_until(lambda due=due: (database.number(processed) or 0) >= due, 60)  # type: ignore[misc]
        horse = _stop_one_that_holds(house, database, chance)
        if horse is None:
            continue
        report.held += 1
        began = time.monotonic()
        report.let_go += wait_until(lambda: database.number(_HELD) == 0, idle_seconds + 20)
        report.longest_hold_seconds = max(report.longest_hold_seconds, round(time.monotonic() - began, 2))
        if report.held and number == stops - 1:
            report.ended_while_one_was_stopped = wait_for_end(database, job)
        with suppress(psutil.NoSuchProcess):
            horse.resume()
    wait_for_end(database, job)
    database.close()
    found = read_back(house, who)
    report.status = found["jobs"][job]
    report.lost = records - found["distinct"] + found["wrong"] + found["gaps"]
    report.doubled = found["doubled"] + found["processed"] - found["outcomes"].get("c", 0)
    report.unequal_accounts = found["unequal"]
    return report


def _stop_one_that_holds(house: ChaosHouse, database: Database, chance: random.Random) -> psutil.Process | None:
    """SIGSTOP at a moment when the work-horse is in the middle of a batch; None where none was caught."""
    for _ in range(30):
        if not wait_until(lambda: bool(house.processes("horse")), 10):
            return None
        for horse in house.processes("horse")[:1]:
            time.sleep(chance.uniform(0.0, 0.1))
            with suppress(psutil.NoSuchProcess):
                horse.suspend()
                if wait_until(lambda: (database.number(_HELD) or 0) > 0, 1.0):
                    return horse
                horse.resume()
    return None
