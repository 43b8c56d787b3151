"""Failed records are tried again, by themselves and when asked for, while workers die and Valkey is emptied.

Some fail because the harness holds their rows' locks and pass once it lets go; others are bad and pass once mended.
"""

import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any, Final

import psycopg
from longshore import Client
from longshore.body import MemoryBody
from longshore.calls import Call

from tests.chaos.blows import Database, strike, wait_until
from tests.chaos.house import ChaosHouse
from tests.chaos.importing import END_SECONDS, METADATA, read_back, wait_for_end
from tests.chaos.posting import MEDIA_TYPE
from tests.chaos.report import Report

KINDS: Final = {"horse": 45, "parent": 15, "both": 15, "sweeper": 15, "flush": 10}
AT_ONCE: Final = 20
MOST_ASKS: Final = 10


@dataclass
class Retries(Report):
    """`asks` are times that "retry all" was called AT_ONCE times in parallel, `redrives` what that started.

    `failed_ever` counts records that failed at least once, `passed_by_themselves` those of them that were stored before
    anybody asked. `uneven_redrives` did not decide each of their records once, `skipped` bad records were not tried by
    each redrive, and `never_at_rest` says that something was still retried when patience ended.
    """

    records: int = 0
    bad: int = 0
    locked: int = 0
    blows: dict[str, int] = field(default_factory=dict)
    failed_ever: int = 0
    passed_by_themselves: int = 0
    mended: int = 0
    asks: int = 0
    redrives: int = 0
    succeeded: int = 0
    failed_again: int = 0
    uneven_redrives: int = -1
    skipped: int = -1
    never_at_rest: int = 0
    status: str = ""
    failed: int = -1
    lost: int = -1
    stale: int = -1
    doubled: int = -1
    unequal_accounts: int = -1
    seconds: float = 0.0

    def faults(self) -> list[str]:
        found = [f"the job is {self.status}"] * (self.status != "completed")
        found += ["nobody was hit"] * (not self.blows)
        found += ["too few records failed"] * (self.failed_ever < self.bad + self.locked // 2 + 1)
        found += ["no record passed by itself"] * (self.passed_by_themselves == 0)
        found += ["no record failed again"] * (self.failed_again == 0)
        found += [f"{self.failed} records are failed"] * (self.failed != self.bad - self.mended)
        for name in ("uneven_redrives", "skipped", "never_at_rest", "lost", "stale", "doubled", "unequal_accounts"):
            found += [f"{getattr(self, name)} {name}"] * (getattr(self, name) != 0)
        return found


def run_retries(
    house: ChaosHouse,
    *,
    seed: int,
    records: int,
    bad: int,
    locked: int,
    tries: int = 3,
    pause_seconds: tuple[float, float] = (0.2, 1.0),
) -> Retries:
    """For a house with WORKER_LOCK_SECONDS=1.

    A first import stores all records. In the second, half of the locked rows are let go while they are tried again by
    themselves, the others after one "retry all", and half of the bad records are mended.
    """
    chance, report = random.Random(seed), Retries(seed, records, bad, locked)
    who = house.enrol(f"Retries {seed}")
    house.struck.clear()
    began = time.monotonic()
    with house.as_house().client(who) as client:
        database = Database(house)
        wait_for_end(database, client.push(_document(records, 1, set()), format="json").job_id)
        own = _Rows(database, who.customer)
        broken = set(range(locked, records, (records - locked) // bad)[:bad])
        with (
            _held(house, own, range(locked // 2)) as early,
            _held(house, own, range(locked // 2, locked)) as late,
            _trouble(house, random.Random(chance.random()), pause_seconds),
        ):
            document = _document(records, 2, broken)
            job = client.push(document, format="json", retry_tries=tries, retry_base_seconds=1).job_id
            own.job = job
            wait_until(lambda: own.is_under_way(locked // 2), END_SECONDS)
            early.rollback()
            wait_for_end(database, job)
            report.never_at_rest += not own.come_to_rest()
            report.passed_by_themselves = own.count("state = 'resolved'")
            _ask(client, own, report)
            report.mended = _mend(client, job, sorted(broken)[: bad // 2])
            report.never_at_rest += not own.come_to_rest()
            late.rollback()
            while own.count("state = 'open'") > bad - report.mended and report.asks < MOST_ASKS:
                _ask(client, own, report)
        _judge(report, house, own, read_back(house, who), broken, sorted(broken)[report.mended :])
        database.close()
    report.blows = house.blows
    report.seconds = round(time.monotonic() - began, 1)
    return report


class _Rows:
    """The customer's failed records of one job and its redrives, as they stand."""

    def __init__(self, database: Database, customer: str) -> None:
        self._database = database
        self.customer = f"(SELECT id FROM customers_customer WHERE slug = '{customer}')"
        self.job = ""

    def count(self, condition: str) -> int:
        return self._database.number(f"SELECT count(*) {self._failures} AND {condition}") or 0

    def is_under_way(self, first: int) -> bool:
        """Whether a quarter of the first records has failed and one of them waits for its next try by itself."""
        waiting = self.count(f"state = 'open' AND next_attempt_at IS NOT NULL AND index < {first}")
        return waiting > 0 and 4 * self.count(f"index < {first}") >= first

    def come_to_rest(self) -> bool:
        """Waits until nothing of the job is to be tried any more."""
        running = f"SELECT count(*) FROM imports_redrive WHERE customer_id = {self.customer} AND finished_at IS NULL"
        return wait_until(
            lambda: (
                self._database.number(running) == 0
                and self.count("(state = 'retrying' OR next_attempt_at IS NOT NULL)") == 0
            ),
            END_SECONDS,
            step=0.05,
        )

    def number(self, query: str) -> int:
        return self._database.number(query) or 0

    @property
    def redrives(self) -> str:
        return f"FROM imports_redrive WHERE customer_id = {self.customer}"

    @property
    def _failures(self) -> str:
        return (
            "FROM imports_failedrecord WHERE job_id = "
            f"(SELECT id FROM imports_importjob WHERE uuid = '{self.job}') AND true"
        )


def _ask(client: Client, own: _Rows, report: Retries) -> None:
    """ "Retry all" many times at once, and to its end."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda _: client.retry(own.job), range(AT_ONCE)))
    report.asks += 1
    report.never_at_rest += not own.come_to_rest()


def _mend(client: Client, job: str, numbers: list[int]) -> int:
    """Each of these records as it should have been."""
    attempts = {found["index"]: found["attempt"] for found in client.failed_records(job=job)}
    for number in numbers:
        body = json.dumps({"record": _record(number, 2, is_bad=False), "attempt": attempts[number]})
        path = f"/api/v1/failed-records/{job}-{number}/edit"
        client._read(Call("POST", path, content_type=MEDIA_TYPE, body=MemoryBody([body.encode()])))
    return len(numbers)


@contextmanager
def _held(house: ChaosHouse, own: _Rows, numbers: range) -> "Iterator[psycopg.Connection[Any]]":
    """Somebody's transaction that holds the rows of these records; they are free once it is rolled back."""
    with psycopg.connect(house.database_url()) as session:
        held = session.execute(
            f"SELECT 1 FROM imports_record WHERE customer_id = {own.customer} "
            f"AND origin_index BETWEEN {numbers.start} AND {numbers.stop - 1} FOR UPDATE".encode()
        ).fetchall()
        assert len(held) == len(numbers)
        yield session
        session.rollback()


@contextmanager
def _trouble(house: ChaosHouse, chance: random.Random, pause_seconds: tuple[float, float]) -> Iterator[None]:
    """Kills and flushes all the time; who is not there just then is spared."""
    over = Event()

    def hit() -> None:
        while not over.wait(chance.uniform(*pause_seconds)):
            (kind,) = chance.choices(list(KINDS), list(KINDS.values()))
            if kind == "flush":
                strike(house, kind, chance)
            else:
                house.kill(kind, chance.random())

    thread = Thread(target=hit)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _judge(
    report: Retries, house: ChaosHouse, own: _Rows, found: dict[str, Any], broken: set[int], unmended: list[int]
) -> None:
    report.status = found["jobs"][own.job]
    report.failed_ever = own.count("true")
    report.failed = own.number(f"SELECT failed FROM imports_importjob WHERE uuid = '{own.job}'")
    report.redrives = own.number(f"SELECT count(*) {own.redrives}")
    report.succeeded = own.number(f"SELECT sum(succeeded) {own.redrives}")
    report.failed_again = own.number(f"SELECT sum(failed_again) {own.redrives}")
    report.uneven_redrives = own.number(
        f"SELECT count(*) {own.redrives} "
        "AND NOT (state = 'done' AND total = released AND released = succeeded + failed_again)"
    )
    listed = ",".join(map(str, unmended))
    report.skipped = own.count(f"index IN ({listed}) AND attempts < {1 + report.redrives}")
    report.lost = report.records - found["distinct"] + found["wrong"] + found["gaps"]
    report.doubled = found["doubled"]
    versions = dict(found["versions"])
    report.stale = sum(versions.get(number) != (1 if number in unmended else 2) for number in range(report.records))
    report.unequal_accounts = found["unequal"]


def _document(count: int, version: int, bad: set[int]) -> bytes:
    records = [_record(number, version, is_bad=number in bad) for number in range(count)]
    return json.dumps({"metadata": METADATA, "records": records}).encode()


def _record(number: int, version: int, *, is_bad: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": f"K{number:07d}",
        "type": "customer",
        "attributes": {"n": number, "version": version},
    }
    return record | {"customFields": {"tier": 7}} if is_bad else record
