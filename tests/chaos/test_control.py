"""Losses that are there are seen: plain RQ under a few kills and one flush."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import psycopg
import pytest

from config import processes
from tests.chaos import plain
from tests.flows.house import ROOT
from tests.live import test_database_url as database_url

RECORDS, SIZE, KILLS = 12_000, 1_000, 3


@pytest.mark.django_db(transaction=True)
def test_plain_rq_loses_and_doubles_records() -> None:
    url, valkey = database_url(), os.environ["REDIS_URL"]
    plain.queue(valkey).delete(delete_jobs=True)
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(f"CREATE TABLE {plain.TABLE} (n int)")
        try:
            plain.push(valkey, first=0, records=RECORDS // 2, size=SIZE)
            under_kills(url, session)
            counted = f"SELECT count(*), count(DISTINCT n) FROM {plain.TABLE}"
            found = session.execute(counted).fetchone()
            assert found is not None
            stored, distinct = found
        finally:
            session.execute(f"DROP TABLE {plain.TABLE}")
            plain.queue(valkey).delete(delete_jobs=True)
    print({"lost": RECORDS - distinct, "doubled": stored - distinct})
    assert RECORDS - distinct > 0
    assert stored - distinct > 0


def under_kills(url: str, session: "psycopg.Connection[Any]") -> None:
    """Kills the work-horse in the middle of its numbers, again and again; then a flush finds the queue half full."""
    spec = processes.ProcessSpec(
        name="plain",
        command=[sys.executable, "-m", "tests.chaos.plain", "work"],
        environment={**os.environ, "DATABASE_URL": url, "PYTHONPATH": str(ROOT)},
    )
    child = processes.start(spec)
    queue = plain.queue(os.environ["REDIS_URL"])
    try:
        for _ in range(KILLS):
            before = rows(session)
            wait(lambda before=before: rows(session) >= before + 2 * plain.COMMIT_EVERY)  # type: ignore[misc]
            for horse in psutil.Process(child.pid).children():
                horse.kill()
        wait(lambda: queue.count == 0 and not psutil.Process(child.pid).children())
        plain.push(os.environ["REDIS_URL"], first=RECORDS // 2, records=RECORDS // 2, size=SIZE)
        wait(lambda: queue.count < RECORDS // 2 // SIZE - 1)
        queue.empty()  # type: ignore[no-untyped-call]
        wait(lambda: not psutil.Process(child.pid).children())
    finally:
        child.kill()
        child.wait()


def rows(session: "psycopg.Connection[Any]") -> int:
    row = session.execute(f"SELECT count(*) FROM {plain.TABLE}").fetchone()
    return int(row[0]) if row else 0


def wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 40
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
