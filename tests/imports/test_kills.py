"""A worker process that is killed in the middle of a batch: what it leaves, and who goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection, transaction

from audit.context import Actor, acting_as
from imports import claiming, ending
from imports.models import BatchAttempt, FailedRecord, ImportBatch, ImportJob, QualityScore, Record
from tests.config.probes import wait_until
from tests.imports.pipeline import (
    Caller,
    Stuck,
    account_of,
    bad_record,
    calling,
    outcomes_of,
    push,
    records,
    stuck_before_insert,
    work,
)
from tests.live import test_database_url as database_url

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("small_batches", "empty_queue")]


@contextmanager
def worker_process(**environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """`manage.py worker`, as the supervisor starts it, on the test database."""
    environment = {**os.environ, "DATABASE_URL": database_url(), **environment}
    worker = subprocess.Popen(
        [sys.executable, "manage.py", "worker", "--name", "doomed"], env=environment, start_new_session=True
    )
    try:
        yield worker
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def kill(worker: subprocess.Popen[bytes], stuck: Stuck) -> None:
    """Kills the worker and its work-horse while they are inside the batch, then lets PostgreSQL notice."""
    stuck.wait()
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    stuck.release()
    deadline = time.monotonic() + 30
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
    )
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute(others + " AND xact_start IS NOT NULL")
            if cursor.fetchone() == (0,):
                return
    raise AssertionError("the killed worker's transaction is still open")


@pytest.mark.parametrize("failpoint", ["counted", "committed", "upserted"])
def test_a_job_whose_last_worker_was_killed_is_scored_once(owner: Caller, tmp_path: Path, failpoint: str) -> None:
    unharmed = push(owner, [*records(14), bad_record()])
    work()
    job = push(owner, [*records(14), bad_record()])
    work(batches=1)
    with worker_process(FAILPOINT=failpoint, DATA_DIR=str(tmp_path)):
        wait_until(lambda: (tmp_path / f"failpoint.{failpoint}.0").exists(), seconds=60)
        wait_until(lambda: ImportBatch.objects.filter(job=job, state="pending").count() == (failpoint != "committed"))
    assert QualityScore.objects.filter(job=job).exists() == (failpoint == "committed")
    work()
    of_both = [
        list(QualityScore.objects.filter(job=one).order_by("record_type").values_list("record_type", "score"))
        for one in (unharmed, account_of(job))
    ]
    assert of_both[0] == of_both[1] == [("", 14 * 10**6 // 15 / 10**6), ("customer", 14 * 10**6 // 15 / 10**6)]


@pytest.mark.parametrize("table", ["imports_record", "imports_failedrecord", "audit_auditevent"])
def test_a_batch_whose_worker_was_killed_is_done_by_the_next(owner: Caller, table: str) -> None:
    job = push(owner, [*records(8), bad_record()])
    with stuck_before_insert(table) as stuck, worker_process() as worker:
        kill(worker, stuck)
    left = account_of(job)
    assert (left.status, left.processed) == ("processing", 0)
    assert not Record.objects.exists()
    assert not FailedRecord.objects.exists()
    assert work() == 1
    assert outcomes_of(account_of(job)) == ["created"] * 8 + ["failed"]
    killed, done = BatchAttempt.objects.order_by("pk")
    assert killed.worker.startswith("doomed")
    assert (killed.ended_at, done.end) == (None, "done")


def test_a_batch_is_free_although_the_statement_of_its_killed_worker_still_waits(owner: Caller) -> None:
    push(owner, records(8))
    with (
        stuck_before_insert("imports_record") as stuck,
        worker_process(WORKER_LOCK_SECONDS="600", WORKER_STATEMENT_SECONDS="600") as worker,
    ):
        stuck.wait()
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
        wait_until(is_free)


def is_free() -> bool:
    with transaction.atomic():
        return claiming.claim() is not None


def test_a_cancelled_job_whose_worker_was_killed_is_ended_by_the_sweeper(owner: Caller) -> None:
    job = push(owner, records(15))
    with stuck_before_insert("imports_record") as stuck, worker_process() as worker:
        stuck.wait()
        with calling(owner):
            ending.cancel(job.pk)
        assert account_of(job).status == "processing"
        kill(worker, stuck)
    with acting_as(Actor("system", "sweeper")):
        ending.finish_cancelled()
    ended = account_of(job)
    assert (ended.status, ended.unprocessed) == ("failed", 15)
    assert set(ImportBatch.objects.values_list("state", flat=True)) == {"dropped"}
    assert ImportJob.objects.filter(pk=job.pk).running().count() == 0
