"""A large import over existing records is undone while its workers are killed: `python -m tests.chaos.undoing`.

Meanwhile another import of the same customer runs. Then every record is opened and compared with what it was before.
The figures and the seed are printed; the exit status is 1 where a record is missing, left over or another one.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

HOUSE = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 600.0


@dataclass
class Figures:
    """What a run showed. All is well where `faults` is empty."""

    seed: int
    records: int
    existing: int
    plan_seconds: float = 0.0
    kills: int = 0
    kills_in_work: int = 0
    undo_seconds: float = 0.0
    removed: int = 0
    restored: int = 0
    imported_meanwhile: int = 0
    compared: int = 0
    versions_left: int = 0
    faults: list[str] = field(default_factory=list)


def run(*, records: int, kills: int, seed: int, work_seconds: float) -> Figures:
    """One run on the database that Django is set up for. Four of five records of the import exist before it."""
    from imports.models import ImportJob, RecordVersion, Undo
    from imports.undo_plan import plan
    from tests.imports.pipeline import account_of, calling, enrol
    from tests.imports.undos import ask, contents, counts_of, now_at

    dice = random.Random(seed)
    existing = records * 4 // 5
    figures = Figures(seed, records, existing)
    caller = enrol(f"Chaos {seed}")
    _import(caller, range(existing), 0)
    before = contents(caller)
    job = account_of(_import(caller, range(records), 1))
    if (job.updated, job.created) != (existing, records - existing):
        figures.faults.append(f"the import updated {job.updated} and created {job.created}")
    began = time.monotonic()
    with calling(caller):
        foreseen = plan(job)
    figures.plan_seconds = round(time.monotonic() - began, 2)
    undo = ask(caller, job)
    meanwhile = Thread(target=_import_meanwhile, args=(caller, records, figures))
    meanwhile.start()
    began = time.monotonic()
    while figures.kills < kills and now_at(undo).state == Undo.State.RUNNING:
        _kill_a_worker(undo, dice.uniform(0.0, work_seconds))
        figures.kills += 1
        figures.kills_in_work += 0 < now_at(undo).position < job.total
    _work(caller.customer.pk)
    figures.undo_seconds = round(time.monotonic() - began, 2)
    meanwhile.join()
    done = now_at(undo)
    figures.removed, figures.restored = done.removed, done.restored
    if counts_of(done) != {"removed": records - existing, "restored": existing}:
        figures.faults.append(f"the undo ended {done.state} with {counts_of(done)}")
    if (foreseen["remove"], foreseen["restore"], foreseen["keep"]) != (done.removed, done.restored, done.kept):
        figures.faults.append("the undo did something else than was planned")
    account_of(ImportJob.objects.get(pk=job.pk))
    _compare(before, contents(caller), figures)
    figures.versions_left = RecordVersion.objects.filter(customer=caller.customer).count()
    if figures.versions_left:
        figures.faults.append(f"{figures.versions_left} versions are left")
    return figures


def _compare(before: dict[Any, Any], after: dict[Any, Any], figures: Figures) -> None:
    """Payload opened, fingerprint and every other column; what was imported meanwhile is no part of it."""
    for key, row in before.items():
        figures.compared += 1
        if after.get(key) != row and len(figures.faults) < 10:
            figures.faults.append("a record is missing" if key not in after else "a record is not as it was")
    extra = len(after) - len(before) - figures.imported_meanwhile
    if extra:
        figures.faults.append(f"{extra} records too many")


def _import(caller: Any, numbers: range, turn: int, prefix: str = "U") -> Any:
    from tests.imports.pipeline import push, record, work

    sent = [record(f"{prefix}-{number}", attributes={"number": number, "turn": turn}) for number in numbers]
    job = push(caller, sent)
    work()
    return job


def _import_meanwhile(caller: Any, records: int, figures: Figures) -> None:
    from django.db import connections

    try:
        count = max(records // 10, 1)
        _import(caller, range(count), 0, prefix="M")
        figures.imported_meanwhile = count
    finally:
        connections.close_all()


def _kill_a_worker(undo: Any, seconds: float) -> None:
    """Starts a process that works on the undo and kills it so long after its first batch was done."""
    from tests.imports.undos import now_at
    from tests.live import test_database_url

    child = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.undoing", "--work", str(undo.customer_id)],
        cwd=HOUSE,
        env={**os.environ, "DATABASE_URL": test_database_url()},
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
    position, deadline = now_at(undo).position, time.monotonic() + PATIENCE_SECONDS
    while now_at(undo).position == position and now_at(undo).state == "running":
        assert time.monotonic() < deadline, "the worker does nothing"
        time.sleep(0.01)
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()


def _work(customer_id: int) -> None:
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--work", type=int, metavar="CUSTOMER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    if options.work is not None:
        django.setup()
        print("ready", flush=True)
        _work(options.work)
        return 0
    from tests import servers

    servers._prepare()
    servers._start()
    django.setup()
    from django.db import connection, connections

    from audit.context import Actor, acting_as

    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        with acting_as(Actor("command", "chaos")):
            figures = run(records=options.records, kills=options.kills, seed=options.seed, work_seconds=2.0)
    finally:
        from imports import attempts

        if attempts._note is not None:
            attempts._note.close()
        connections.close_all()
        connection.creation.destroy_test_db(os.environ["DATABASE_URL"].rpartition("/")[2], verbosity=0)
        servers._stop()
    print(json.dumps(asdict(figures), indent=2))
    return 1 if figures.faults else 0


if __name__ == "__main__":
    sys.exit(main())
