"""The negative control: plain RQ with Retry(3) under the same blows loses and doubles, which the harness must see."""

import os
import random
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import psutil
import psycopg
from rq import Queue

from config import processes
from tests.chaos import plain
from tests.chaos.blows import VICTIM_SECONDS
from tests.chaos.report import Report
from tests.flows.house import ROOT

WEIGHTS: Final = {"parent": 20, "horse": 45, "both": 20}
# RQ takes 66 s to find the message of a worker that was killed with its work-horse.
IDLE_SECONDS: Final = 100.0
_STEP_SECONDS: Final = 0.03


@dataclass
class Control(Report):
    """Lost rows were never stored, `doubled` ones more than once. `flushed` were in the queue at the flush."""

    records: int = 0
    blows: dict[str, int] = field(default_factory=dict)
    lost_in_kills: int = 0
    doubled: int = 0
    flushed: int = 0
    lost_in_flush: int = 0
    seconds: float = 0.0

    def faults(self) -> list[str]:
        found = ["no loss was seen"] * (self.lost_in_kills + self.lost_in_flush == 0)
        found += ["no double was seen"] * (self.doubled == 0)
        return found + ["no worker was killed"] * (sum(self.blows.values()) - self.blows.get("flush", 0) == 0)


def run_control(
    database_url: str,
    redis_url: str,
    *,
    seed: int,
    records: int,
    kills: int,
    size: int = 1_000,
    workers: int = 3,
    weights: dict[str, int] | None = None,
    idle_seconds: float = IDLE_SECONDS,
) -> Control:
    """Kills in the first half of the rows, one FLUSHALL in the second. Both servers are the run's own.

    Nobody is helped but by a supervisor's hand: a worker that died is started again.
    """
    chance, report = random.Random(seed), Control(seed, records)
    chosen = weights or WEIGHTS
    kinds = chance.choices(list(chosen), list(chosen.values()), k=kills)
    began = time.monotonic()
    with psycopg.connect(database_url, autocommit=True) as session, closing(_House(database_url, redis_url)) as house:
        session.execute(f"CREATE TABLE {plain.TABLE} (n int)")
        queue, half = plain.queue(redis_url), records // 2
        plain.push(redis_url, first=0, records=half, size=size)
        house.staff(workers)
        for number, kind in enumerate(kinds):
            if _kill_when_due(house, kind, half * number // kills, chance, session):
                report.blows[kind] = report.blows.get(kind, 0) + 1
        house.run_until_idle(session, queue, idle_seconds)
        stored, distinct = _counts(session)
        report.lost_in_kills, report.doubled = half - distinct, stored - distinct
        plain.push(redis_url, first=half, records=half, size=size)
        house.wait_until(lambda: queue.count <= half // size // 2, VICTIM_SECONDS)
        report.flushed = size * queue.count
        queue.connection.flushall()
        report.blows["flush"] = 1
        house.run_until_idle(session, queue, idle_seconds)
        report.lost_in_flush = half - (_counts(session)[1] - distinct)
        session.execute(f"DROP TABLE {plain.TABLE}")
    report.seconds = round(time.monotonic() - began, 1)
    return report


def _kill_when_due(
    house: "_House", kind: str, due: int, chance: random.Random, session: "psycopg.Connection[Any]"
) -> bool:
    house.wait_until(lambda: _rows(session) >= due, VICTIM_SECONDS)
    return house.wait_until(lambda: house.kill(kind, chance.random(), session), VICTIM_SECONDS)


class _House:
    """Workers of plain RQ, each started again when it has died: from the main thread, with which they end."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self._spec = processes.ProcessSpec(
            name="plain",
            command=[sys.executable, "-m", "tests.chaos.plain", "work"],
            environment={
                **os.environ,
                "DATABASE_URL": database_url,
                "REDIS_URL": redis_url,
                "PYTHONPATH": str(ROOT),
            },
        )
        self._children: list[Any] = []

    def staff(self, workers: int) -> None:
        self._children = [processes.start(self._spec) for _ in range(workers)]

    def look(self) -> None:
        self._children = [child if child.poll() is None else processes.start(self._spec) for child in self._children]

    def kill(self, kind: str, choice: float, session: "psycopg.Connection[Any]") -> bool:
        """One worker, its work-horse, or both, once it has stored something; False where it ended before."""
        child = self._children[int(choice * len(self._children))]
        horses, before = _horses(child.pid), _rows(session)
        if not horses or not self.wait_until(
            lambda: _rows(session) >= before + 2 * plain.COMMIT_EVERY or not _horses(child.pid), VICTIM_SECONDS
        ):
            return False
        horses = [horse for horse in horses if horse.is_running()]
        if not horses:
            return False
        if kind != "parent":
            for horse in horses:
                with suppress(psutil.NoSuchProcess):
                    horse.kill()
        if kind != "horse":
            child.kill()
        return True

    def wait_until(self, is_so: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > deadline:
                return False
            self.look()
            time.sleep(_STEP_SECONDS)
        return True

    def run_until_idle(self, session: "psycopg.Connection[Any]", queue: Queue, seconds: float) -> None:
        """Until for so long no row came, no work-horse lived and no message waited."""
        seen, since = -1, time.monotonic()
        while time.monotonic() - since < seconds:
            now = _rows(session)
            if now != seen or queue.count or any(_horses(child.pid) for child in self._children):
                seen, since = now, time.monotonic()
            self.look()
            time.sleep(0.05)

    def close(self) -> None:
        for child in self._children:
            for process in (child, *_horses(child.pid)):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            child.wait()


def _horses(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children()
    return []


def _counts(session: "psycopg.Connection[Any]") -> tuple[int, int]:
    """How many rows are stored, and how many different ones."""
    row = session.execute(f"SELECT count(*), count(DISTINCT n) FROM {plain.TABLE}").fetchone()
    return row or (0, 0)


def _rows(session: "psycopg.Connection[Any]") -> int:
    row = session.execute(f"SELECT count(*) FROM {plain.TABLE}").fetchone()
    return int(row[0]) if row else 0
