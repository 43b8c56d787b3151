"""One import under blows: pushed, beaten while it is worked on, then read back record by record."""

import json
import random
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.chaos.blows import Database, Plan, strike, wait_until
from tests.chaos.house import ChaosHouse
from tests.flows.house import ROOT, Credentials

END_SECONDS = 120.0
METADATA = {"source": "chaos", "version": "1.0.0", "timestamp": "2024-03-15T00:00:00Z"}


@dataclass
class Figures:
    """What a run prints. `lost` and `doubled` come from reading every record back."""

    seed: int
    records: int
    blows: dict[str, int] = field(default_factory=dict)
    status: str = ""
    lost: int = -1
    doubled: int = -1
    failed: int = -1
    executions: int = 0
    batches: int = 0
    most_executions: int = 0
    recovery_seconds: float = -1.0
    seconds: float = 0.0

    def line(self) -> str:
        return json.dumps(asdict(self))


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
    path = house.data_dir.parent / "chaos-body.json"
    path.write_bytes(document)
    with house.as_house().client(who) as client:
        return client.push(path).job_id


def run_import(house: ChaosHouse, plan: Plan, *, records: int, size: int = 0, name: str = "Chaos") -> Figures:
    """Every blow falls while the job runs: blow i when i parts of the records are done. Nobody helps it to its end."""
    chance = random.Random(plan.seed)
    figures = Figures(plan.seed, records)
    house.killed.clear()
    who = house.enrol(f"{name} {plan.seed}")
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
        figures.recovery_seconds = _recovery(database, job, records)
        ended = f"SELECT count(*) FROM imports_importjob WHERE uuid = '{job}' AND finished_at IS NOT NULL"
        wait_until(lambda: database.number(ended) == 1, END_SECONDS, step=0.1)
    finally:
        database.close()
    figures.seconds = round(time.monotonic() - began, 1)
    figures.blows = dict(house.killed)
    _judge(figures, read_back(house, who), job)
    return figures


def _recovery(database: Database, job: str, records: int) -> float:
    """Seconds from the last blow to the next batch that commits; 0 where nothing was left to do."""
    began = time.monotonic()
    processed = f"SELECT processed FROM imports_importjob WHERE uuid = '{job}'"
    last: list[int] = []

    def went_on() -> bool:
        now = database.number(processed)
        if now is None:
            return False
        last.append(now)
        return now == records or now > last[0]

    wait_until(went_on, 60)
    return round(time.monotonic() - began, 2)


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
    figures.executions, figures.batches = found["executions"], found["batches"]
    figures.most_executions = found["most_executions"]


def is_clean(figures: Figures) -> bool:
    return (figures.status, figures.lost, figures.doubled, figures.failed) == ("completed", 0, 0, 0)
