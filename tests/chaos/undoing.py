"""A large import over existing records is undone while its workers are killed and another import runs.

Then every record is opened and compared, column by column, with what it was before the import.
"""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, Final

from tests.chaos.report import Report
from tests.flows.house import ROOT

PATIENCE_SECONDS: Final = 600.0


@dataclass
class Undoing(Report):
    """Four of five records of the import exist before it. `kills_in_work` fell in the middle of the undo."""

    records: int = 0
    existing: int = 0
    updated: int = 0
    plan_seconds: float = 0.0
    foreseen: tuple[int, int, int] = (0, 0, 0)
    undone: tuple[int, int, int] = (0, 0, 0)
    undo_seconds: float = 0.0
    kills: int = 0
    kills_in_work: int = 0
    imported_meanwhile: int = 0
    compared: int = 0
    missing: int = 0
    different: int = 0
    left_over: int = 0
    versions_left: int = 0
    problems: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        wanted = (self.records - self.existing, self.existing, 0)
        found = list(self.problems)
        found += ["no kill fell into the work"] * (self.kills_in_work == 0)
        found += ["nothing was imported meanwhile"] * (self.imported_meanwhile == 0)
        found += [f"the import updated {self.updated}"] * (self.updated != self.existing)
        found += [f"removed, restored and kept were foreseen as {self.foreseen}"] * (self.foreseen != wanted)
        found += [f"removed, restored and kept are {self.undone}"] * (self.undone != wanted)
        found += [f"{self.compared} records were compared"] * (self.compared != self.existing)
        for name in ("missing", "different", "left_over", "versions_left"):
            found += [f"{name}: {getattr(self, name)}"] * (getattr(self, name) != 0)
        return found


def run_undoing(*, records: int, kills: int, seed: int, work_seconds: float = 0.0) -> Undoing:
    """On the database that Django is set up for. A worker is killed within `work_seconds` of its first progress."""
    from imports.models import RecordVersion
    from imports.undo_plan import plan
    from tests.imports.pipeline import account_of, enrol
    from tests.imports.undos import ask, contents, now_at

    dice = random.Random(seed)
    report = Undoing(seed, records, records * 4 // 5)
    caller = enrol(f"Chaos {seed}")
    _import(caller, report.existing, turn=0)
    before = contents(caller)
    job = account_of(_import(caller, records, turn=1))
    report.updated = job.updated
    began = time.monotonic()
    foreseen = plan(job)
    report.plan_seconds = round(time.monotonic() - began, 2)
    report.foreseen = foreseen["remove"], foreseen["restore"], foreseen["keep"]
    undo = ask(caller, job)
    meanwhile = Thread(target=_import_meanwhile, args=(caller, max(records // 10, 1), report))
    meanwhile.start()
    began = time.monotonic()
    while report.kills < kills and now_at(undo).state == "running":
        report.kills += _kill_a_worker(undo, dice.uniform(0.0, work_seconds))
        report.kills_in_work += 0 < now_at(undo).position < job.total
    work_off(undo.customer_id)
    report.undo_seconds = round(time.monotonic() - began, 2)
    meanwhile.join()
    done = now_at(undo)
    report.undone = done.removed, done.restored, done.kept
    report.problems += [f"the undo is {done.state}"] * (done.state != "done")
    account_of(job)
    _compare(before, contents(caller), report)
    report.versions_left = RecordVersion.objects.filter(customer=caller.customer).count()
    return report


def work_off(customer_id: int) -> None:
    """Works on the customer's undos until none runs. One whose worker was killed is due again after its pause."""
    from audit.context import Actor, acting_as
    from imports.models import Undo
    from imports.undoing import undo_next

    deadline = time.monotonic() + PATIENCE_SECONDS
    running = Undo.objects.filter(customer=customer_id, state=Undo.State.RUNNING)
    with acting_as(Actor("system", "worker")):
        while running.exists():
            assert time.monotonic() < deadline, "the undo does not come to its end"
            if not undo_next():
                time.sleep(0.05)


def _import(caller: Any, count: int, *, turn: int, prefix: str = "U") -> Any:
    from tests.imports.pipeline import push, record, work

    sent = [record(f"{prefix}-{number}", attributes={"number": number, "turn": turn}) for number in range(count)]
    job = push(caller, sent)
    work()
    return job


def _import_meanwhile(caller: Any, count: int, report: Undoing) -> None:
    from django.db import connections

    try:
        _import(caller, count, turn=0, prefix="M")
        report.imported_meanwhile = count
    except Exception as error:  # noqa: BLE001 - reported as a fault of the run
        report.problems.append(f"{type(error).__name__}: {error}")
    finally:
        connections.close_all()


def _kill_a_worker(undo: Any, seconds: float) -> bool:
    """Starts a process that works on the undo and kills it so long after its first progress; False where it had
    ended."""
    from tests.imports.undos import now_at
    from tests.live import test_database_url

    position = now_at(undo).position
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.undoing", str(undo.customer_id)],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": test_database_url()},
        stdout=subprocess.DEVNULL,
    )
    while child.poll() is None and now_at(undo).position == position:
        time.sleep(0.01)
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    return child.wait() == -signal.SIGKILL


def _compare(before: dict[Any, Any], after: dict[Any, Any], report: Undoing) -> None:
    """Payloads opened, fingerprints, and every other column."""
    for key, row in before.items():
        report.compared += 1
        report.missing += key not in after
        report.different += key in after and after[key] != row
    report.left_over = len(after) - len(before) - report.imported_meanwhile + report.missing


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    work_off(int(sys.argv[1]))
