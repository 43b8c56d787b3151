"""One import under blows: pushed, beaten while it is worked on, then read back record by record."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos.blows import Database, Plan, strike, wait_until
from tests.chaos.gate import gate
from tests.chaos.house import ChaosHouse
from tests.chaos.recovering import recovery_after, slowest
from tests.chaos.report import Report
from tests.flows.house import ROOT, Credentials

END_SECONDS: Final = 600.0
DUE_SECONDS: Final = 120.0
METADATA = {"source": "chaos", "version": "1.0.0", "timestamp": "2024-03-15T00:00:00Z"}


@dataclass
class Figures(Report):
    """`lost` and `doubled` come from reading every record back. `undealt` blows found the import at its end.

    `recovery_seconds` is the time from the last blow, the kill of all workers, until a batch begun after it was done.
    `slowest_recovery` is the longest such time after each kind of blow, whatever else fell meanwhile.
    """

    records: int = 0
    blows: dict[str, int] = field(default_factory=dict)
    met_nobody: dict[str, int] = field(default_factory=dict)
    undealt: int = 0
    status: str = ""
    lost: int = -1
    doubled: int = -1
    failed: int = -1
    unequal_accounts: int = -1
    executions: int = 0
    batches: int = 0
    most_executions: int = 0
    left_at_last_blow: int = 0
    recovery_seconds: float | None = None
    recovery_bound_seconds: float | None = None
    slowest_recovery: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    def faults(self) -> list[str]:
        found = [f"the job is {self.status}"] * (self.status != "completed")
        for name in ("lost", "doubled", "failed", "unequal_accounts"):
            found += [f"{getattr(self, name)} {name}"] * (getattr(self, name) != 0)
        found += [f"{self.undealt} blows found the import at its end"] * (self.undealt != 0)
        if self.recovery_seconds is None:
            found.append("nothing was left to do after the last blow")
        elif self.recovery_bound_seconds is not None and self.recovery_seconds > self.recovery_bound_seconds:
            found.append(f"work went on {self.recovery_seconds} s after the last blow")
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


def run_import(
    house: ChaosHouse,
    plan: Plan,
    *,
    records: int,
    size: int = 0,
    name: str = "Chaos",
    recovery_bound_seconds: float | None = None,
) -> Figures:
    """Blow i falls when i parts of the plan's share are done, and until then batches are let in only a little further.

    So the blows meet work on any machine, at any of its steps. Nobody helps the import to its end.
    """
    chance = random.Random(plan.seed)
    figures = Figures(plan.seed, records, recovery_bound_seconds=recovery_bound_seconds)
    who = house.enrol(f"{name} {plan.seed}")
    house.struck.clear()
    database = Database(house)
    began = time.monotonic()
    job = push(house, who, body(records, size))
    blows = plan.blows(chance)
    try:
        with gate(house) as let_in:
            _deal(house, plan, figures, database, job, chance, blows, let_in)
            wait_until(lambda: let_in(records), DUE_SECONDS)
            wait_for_end(database, job)
    finally:
        database.close()
    figures.seconds = round(time.monotonic() - began, 1)
    figures.blows = house.blows
    found = read_back(house, who)
    _judge(figures, found, job)
    if not figures.undealt and house.struck[-1].kind == blows[-1]:
        figures.recovery_seconds = recovery_after(house.struck[-1].until, found["done"])
    figures.slowest_recovery = slowest(house.struck, found["done"])
    return figures


def _deal(
    house: ChaosHouse,
    plan: Plan,
    figures: Figures,
    database: Database,
    job: str,
    chance: random.Random,
    blows: list[str],
    let_in: Callable[[int], bool],
) -> None:
    processed = f"SELECT processed FROM imports_importjob WHERE uuid = '{job}'"
    ahead = int(figures.records * (1 - plan.share) / 3)
    for number, blow in enumerate(blows):
        due = int(figures.records * plan.share * number / max(len(blows) - 1, 1))
        wait_until(lambda due=due: let_in(due + ahead), DUE_SECONDS)  # type: ignore[misc]
        wait_until(lambda due=due: (database.number(processed) or 0) >= due, DUE_SECONDS)  # type: ignore[misc]
        time.sleep(chance.uniform(0.0, 0.15))
        figures.left_at_last_blow = figures.records - (database.number(processed) or 0)
        if figures.left_at_last_blow == 0:
            figures.undealt = len(blows) - number
            return
        if not strike(house, blow, chance, outage_seconds=plan.outage_seconds):
            figures.met_nobody[blow] = figures.met_nobody.get(blow, 0) + 1


def wait_for_end(database: Database, job: str) -> bool:
    ended = f"SELECT count(*) FROM imports_importjob WHERE uuid = '{job}' AND finished_at IS NOT NULL"
    return wait_until(lambda: database.number(ended) == 1, END_SECONDS, step=0.05)


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
