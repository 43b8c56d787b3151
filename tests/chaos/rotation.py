"""Data keys rotate under a running import while the rotator is killed, and everything is read all the time.

Read are records, batches, failed records and the signing secret, as other processes would.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any, Final

from audit.clock import database_now
from tests.chaos.report import Report
from tests.flows.house import ROOT

BODY_RECORDS: Final = 25_000
SAMPLE: Final = 100


@dataclass
class Rotation(Report):
    """`kills_in_work` fell when some values had been moved and some were left; `problems` are what readers met."""

    records: int = 0
    kills: int = 0
    kills_in_work: int = 0
    rotations: int = 0
    moved_at_the_end: int = 0
    seconds_at_the_end: float = 0.0
    imported_meanwhile: int = 0
    values_read: int = 0
    records_stored: int = 0
    left_under_old_keys: int = 0
    old_keys_destroyed: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        found = list(self.problems)
        found += ["no kill fell into the work"] * (self.kills_in_work == 0)
        found += ["nothing was imported or read meanwhile"] * (not self.imported_meanwhile or not self.values_read)
        found += [f"{self.left_under_old_keys} values are left under an old key"] * (self.left_under_old_keys != 0)
        found += ["an old key was not destroyed"] * (self.old_keys_destroyed != 2 * self.rotations)
        found += [f"{self.records_stored} records are stored"] * (self.records_stored != self.records)
        return found


def run_rotation(*, records: int, kills: int, seed: int, work_seconds: float = 0.0) -> Rotation:
    """On the database that Django is set up for. A rotator is killed within `work_seconds` of its first progress."""
    from customers import rotation
    from customers.models import DataKey
    from imports import key_rotation
    from imports.models import Record
    from tests.imports.pipeline import enrol

    dice, began = random.Random(seed), time.monotonic()
    report = Rotation(seed, records)
    caller = enrol(f"Chaos {seed}")
    _import(caller, range(records), 0)
    over = Event()
    threads = [
        _Background(lambda turn: _read(caller, random.Random(seed + turn), report), over),
        _Background(lambda turn: _update(caller, records, turn, report), over),
    ]
    try:
        while report.kills < kills:
            if not DataKey.objects.retired().filter(customer=caller.customer).exists() or not _left(caller):
                report.rotations += rotation.begin(caller.customer, now=database_now())
            before = _left(caller)
            report.kills += _kill_a_rotator(caller, before, dice.uniform(0.0, work_seconds))
            report.kills_in_work += before > _left(caller) > 0
    finally:
        over.set()
        for thread in threads:
            thread.join()
    report.problems = [f"{type(one.raised).__name__}: {one.raised}" for one in threads if one.raised is not None]
    report.rotations += rotation.begin(caller.customer, now=database_now())
    ends_at = time.monotonic()
    report.moved_at_the_end = sum(key_rotation.work_off(caller.customer))
    report.seconds_at_the_end = round(time.monotonic() - ends_at, 2)
    report.left_under_old_keys = _left(caller)
    _destroy(caller, report)
    report.records_stored = Record.objects.filter(customer=caller.customer).count()
    _read_all(caller, report)
    report.seconds = round(time.monotonic() - began, 1)
    return report


class _Background(Thread):
    """Runs a step again and again, with its number, until the run is over; keeps what it raised."""

    def __init__(self, step: Callable[[int], None], over: Event) -> None:
        super().__init__()
        self._step, self._over = step, over
        self.raised: Exception | None = None
        self.start()

    def run(self) -> None:
        from django.db import connections

        try:
            turn = 0
            while not self._over.is_set():
                turn += 1
                self._step(turn)
        except Exception as error:  # noqa: BLE001 - reported as a fault of the run
            self.raised = error
        finally:
            connections.close_all()


def _import(caller: Any, numbers: range, turn: int) -> None:
    from tests.imports.pipeline import bad_record, push, record, work

    for start in range(numbers.start, numbers.stop, BODY_RECORDS):
        chosen = numbers[start - numbers.start : start - numbers.start + BODY_RECORDS]
        sent = [record(f"R-{number}", attributes={"number": number, "turn": turn}) for number in chosen]
        push(caller, [*sent, bad_record()])
        work()


def _update(caller: Any, records: int, turn: int, report: Rotation) -> None:
    """An import of a fifth of the records, changed."""
    size = max(records // 5, 1)
    start = (turn * size) % records
    _import(caller, range(start, min(start + size, records)), turn)
    report.imported_meanwhile += size


def _read(caller: Any, dice: random.Random, report: Rotation) -> None:
    """Opens some of everything as another process would: with its ring of up to a minute ago, or a new one."""
    from customers.keyring import forget, keyring
    from customers.models import HmacKey
    from imports import results
    from imports.models import ImportJob, Record
    from imports.storing import record_row

    if dice.random() < 0.3:
        forget(caller.customer.pk)
    opener = keyring(caller.customer.pk).opener("imports_record", "payload")
    mine = Record.objects.filter(customer=caller.customer).order_by("type", "key")
    for row in mine.filter(key__gte=dice.randbytes(16))[:SAMPLE]:
        content = json.loads(opener.open(bytes(row.payload), record_row(row.type, bytes(row.key))))
        assert content["id"] == f"R-{content['attributes']['number']}"
        report.values_read += 1
    job = dice.choice(list(ImportJob.objects.filter(customer=caller.customer)))
    for selection in results.SELECTIONS[:2]:
        for batch in results.batches_of(job, selection)[:1]:
            report.values_read += len(results.as_ndjson(results.lines(job, batch, selection)).splitlines())
    assert HmacKey.objects.get(pk=caller.key.key.pk).secret.reveal() == caller.key.secret
    time.sleep(0.02)


def _read_all(caller: Any, report: Rotation) -> None:
    from tests.imports.pipeline import stored_by

    report.values_read += len(stored_by(caller))


def _left(caller: Any) -> int:
    from customers.models import DataKey
    from imports.reencryption import remaining

    return sum(remaining(key) for key in DataKey.objects.retired().filter(customer=caller.customer))


def _kill_a_rotator(caller: Any, left: int, seconds: float) -> bool:
    """Starts `manage.py rotate_data_keys` and kills it so long after its first progress; False where it had ended."""
    from tests.live import test_database_url

    child = subprocess.Popen(
        [sys.executable, "manage.py", "rotate_data_keys", "--skip-checks"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": test_database_url()},
        stdout=subprocess.DEVNULL,
    )
    while child.poll() is None and _left(caller) >= left:
        time.sleep(0.01)
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    return child.wait() == -signal.SIGKILL


def _destroy(caller: Any, report: Rotation) -> None:
    """The old keys' time of rest is over at once: every key that is empty goes."""
    from datetime import timedelta

    from customers import keyring, rotation
    from customers.models import DataKey
    from imports.reencryption import is_empty

    later = database_now() + timedelta(seconds=rotation.SETTLE_SECONDS)
    for key in DataKey.objects.retired().filter(customer=caller.customer):
        report.old_keys_destroyed += rotation.destroy(key, now=later, is_empty=is_empty)
    keyring.forget()
