"""One import under blows: pushed, beaten while it is worked on, then read back record by record."""

import json
import random
import subprocess
import sys
import time
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos.blows import Database, Plan, strike, wait_until
from tests.chaos.house import ChaosHouse
from tests.chaos.report import Report
from tests.flows.house import ROOT, Credentials

END_SECONDS: Final = 120.0
RECOVERY_SECONDS: Final = 5.0
METADATA = {"source": "chaos", "version": "1.0.0", "timestamp": "2024-03-15T00:00:00Z"}


@dataclass
class Figures(Report):
    """`lost` and `doubled` come from reading every record back.

    `slowest_recovery` is, for each kind of blow, the longest time until the next batch was noted as done.
    """

    records: int = 0
    blows: dict[str, int] = field(default_factory=dict)
    status: str = ""
    lost: int = -1
    doubled: int = -1
    failed: int = -1
    unequal_accounts: int = -1
    executions: int = 0
    batches: int = 0
    most_executions: int = 0
    recovery_seconds: float = 0.0
    slowest_recovery: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def faults(self) -> list[str]:
        found = [f"the job is {self.status}"] * (self.status != "completed")
        for name in ("lost", "doubled", "failed", "unequal_accounts"):
            found += [f"{getattr(self, name)} {name}"] * (getattr(self, name) != 0)
        return found


def body(records: int, size: int) -> bytes:
    """A JSON document; `size` is the bytes of filling in each record, so that few records make many batches."""
    filling = "x" * size
    sent = ",".join(
        f'{{"id":"K{number:07d}","type":"customer","attributes":{{"n":{number},"v":"{filling}"}}}}'
        for number in range(records)
    )
    return f'{{"metadata":{json.dumps(METADATA)},"records":[{sent}]}}'.encode()


def push(house: ChaosHouse, who: Credentials, document: bytes) -> str:
    """The accepted job's id."""
    with house.as_house().client(who) as client:
        return client.push(document, format="json").job_id


def run_import(house: ChaosHouse, plan: Plan, *, records: int, size: int = 0, name: str = "Chaos") -> Figures:
    """Every blow falls while the job runs: blow i when i parts of the records are done. Nobody helps it to its end."""
    chance = random.Random(plan.seed)
    figures = Figures(plan.seed, records)
    who = house.enrol(f"{name} {plan.seed}")
    house.struck.clear()
    database = Database(house)
    began = time.monotonic()
    job = push(house, who, body(records, size))
    processed = f"SELECT processed FROM imports_importjob WHERE uuid = '{job}'"
    blows = plan.blows(chance)
    try:
        for number, blow in enumerate(blows):
            due = records * number // (len(blows) + 1)
            wait_until(lambda due=due: (database.number(processed) or 0) >= due, 60)  # type: ignore[misc]
            time.sleep(chance.uniform(0.0, 0.15))
            strike(house, blow, chance, plan)
        wait_for_end(database, job)
    finally:
        database.close()
    figures.seconds = round(time.monotonic() - began, 1)
    figures.blows = house.blows
    found = read_back(house, who)
    _judge(figures, found, job)
    _time_recoveries(figures, house.struck, found["ends"])
    return figures


def wait_for_end(database: Database, job: str) -> bool:
    ended = f"SELECT count(*) FROM imports_importjob WHERE uuid = '{job}' AND finished_at IS NOT NULL"
    return wait_until(lambda: database.number(ended) == 1, END_SECONDS, step=0.05)


def _time_recoveries(figures: Figures, struck: list[tuple[str, float]], ends: list[float]) -> None:
    """From each blow to the next note of a batch that is done, by the clock of the machine that all of them share.

    A note that a kill or a crash took away makes the time longer, never shorter. After the last batch there is none.
    """
    for blow, at in struck:
        place = bisect_right(ends, at)
        if place < len(ends):
            figures.recovery_seconds = round(ends[place] - at, 2)
            figures.slowest_recovery[blow] = max(figures.slowest_recovery.get(blow, 0.0), figures.recovery_seconds)


def read_back(house: ChaosHouse, who: Credentials) -> dict[str, Any]:
    """Every record of the customer, opened by its key, and its jobs' accounts."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.readback", who.customer],
        env=house.environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _judge(figures: Figures, found: dict[str, Any], job: str) -> None:
    figures.status = found["jobs"][job]
    figures.lost = figures.records - found["distinct"] + found["wrong"] + found["gaps"]
    # A batch that ran twice to its commit would find its own records: anything but created betrays it.
    created = found["outcomes"].get("c", 0)
    figures.doubled = found["doubled"] + found["processed"] - created
    figures.failed = len(found["failed"])
    figures.unequal_accounts = found["unequal"]
    figures.executions, figures.batches = found["executions"], found["batches"]
    figures.most_executions = found["most_executions"]
