"""Data keys rotate under a running import while the rotator is killed: `python -m tests.chaos.rotation`.

Everything is read all the time: records, batches, failed records and the signing secret. The figures and the seed are
printed; the exit status is 1 where a value did not open, a record is missing or a ciphertext is left behind.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

from audit.clock import database_now

HOUSE = Path(__file__).resolve().parents[2]
BODY_RECORDS = 25_000
SAMPLE = 100


@dataclass
class Figures:
    """What a run showed. All is well where `faults` is empty."""

    seed: int
    records: int
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
    faults: list[str] = field(default_factory=list)


def run(*, records: int, kills: int, seed: int, work_seconds: float = 0.4) -> Figures:
    """One run on the database that Django is set up for, whose tables may hold nothing else of the customer Chaos."""
    from customers import rotation
    from customers.models import DataKey
    from imports import key_rotation
    from imports.models import Record
    from tests.imports.pipeline import enrol

    dice = random.Random(seed)
    figures = Figures(seed, records)
    caller = enrol(f"Chaos {seed}")
    _import(caller, range(records), 0)
    over = Event()
    threads = [
        _Background(lambda turn: _read(caller, random.Random(seed + turn), figures), over),
        _Background(lambda turn: _update(caller, records, turn, figures), over),
    ]
    for _ in range(kills):
        if not DataKey.objects.retired().filter(customer=caller.customer).exists() or not _left(caller):
            figures.rotations += rotation.begin(caller.customer, now=database_now())
        before = _left(caller)
        _kill_a_rotator(caller, dice.uniform(0.0, work_seconds))
        figures.kills += 1
        figures.kills_in_work += before > _left(caller) > 0
    over.set()
    for thread in threads:
        thread.join()
        if thread.raised is not None:
            figures.faults.append(f"{type(thread.raised).__name__}: {thread.raised}")
    figures.rotations += rotation.begin(caller.customer, now=database_now())
    began = time.monotonic()
    figures.moved_at_the_end = sum(key_rotation.work_off(caller.customer))
    figures.seconds_at_the_end = round(time.monotonic() - began, 2)
    figures.left_under_old_keys = _left(caller)
    _destroy(caller, figures)
    figures.records_stored = Record.objects.filter(customer=caller.customer).count()
    _read_all(caller, figures)
    if figures.left_under_old_keys:
        figures.faults.append("ciphertext is left under an old key")
    if figures.records_stored != records:
        figures.faults.append(f"{figures.records_stored} of {records} records are stored")
    return figures


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


def _update(caller: Any, records: int, turn: int, figures: Figures) -> None:
    """An import of a fifth of the records, changed."""
    size = max(records // 5, 1)
    start = (turn * size) % records
    _import(caller, range(start, min(start + size, records)), turn)
    figures.imported_meanwhile += size


def _read(caller: Any, dice: random.Random, figures: Figures) -> None:
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
        figures.values_read += 1
    job = dice.choice(list(ImportJob.objects.filter(customer=caller.customer)))
    for selection in results.SELECTIONS[:2]:
        for batch in results.batches_of(job, selection)[:1]:
            figures.values_read += len(results.as_ndjson(results.lines(job, batch, selection)).splitlines())
    assert HmacKey.objects.get(pk=caller.key.key.pk).secret.reveal() == caller.key.secret
    time.sleep(0.02)


def _read_all(caller: Any, figures: Figures) -> None:
    from tests.imports.pipeline import stored_by

    figures.values_read += len(stored_by(caller))


def _left(caller: Any) -> int:
    from customers.models import DataKey
    from imports.reencryption import remaining

    return sum(remaining(key) for key in DataKey.objects.retired().filter(customer=caller.customer))


def _kill_a_rotator(caller: Any, seconds: float) -> None:
    """Starts a rotator of its own process and kills it so long after it began to work."""
    from tests.live import test_database_url

    child = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.rotation", "--rotate", str(caller.customer.pk)],
        cwd=HOUSE,
        env={**os.environ, "DATABASE_URL": test_database_url()},
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()


def _destroy(caller: Any, figures: Figures) -> None:
    """The old keys' time of rest is over at once: every key that is empty goes."""
    from datetime import timedelta

    from customers import keyring, rotation
    from customers.models import DataKey
    from imports.reencryption import is_empty

    later = database_now() + timedelta(seconds=rotation.SETTLE_SECONDS)
    for key in DataKey.objects.retired().filter(customer=caller.customer):
        figures.old_keys_destroyed += rotation.destroy(key, now=later, is_empty=is_empty)
    keyring.forget()


def _rotate(customer_id: int) -> None:
    from audit.context import Actor, acting_as
    from customers.models import Customer
    from imports import key_rotation

    customer = Customer.objects.get(pk=customer_id)
    print("ready", flush=True)
    with acting_as(Actor("system", "rotator")):
        for _ in key_rotation.work_off(customer):
            pass


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--rotate", type=int, metavar="CUSTOMER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    if options.rotate is not None:
        django.setup()
        _rotate(options.rotate)
        return 0
    from tests import servers

    servers._start()
    django.setup()
    from django.db import connection, connections

    from audit.context import Actor, acting_as

    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        with acting_as(Actor("command", "chaos")):
            figures = run(records=options.records, kills=options.kills, seed=options.seed, work_seconds=3.0)
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
