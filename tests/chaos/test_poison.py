"""A record that ends its process, fails it, or uses it up: it stands alone in the end, and all others are stored."""

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from imports import attempts, checking, isolating, sweeper
from imports.models import BatchAttempt, FailedRecord, ImportBatch, ImportJob, Record
from imports.settling import MAX_KILLS
from imports.status import describe
from tests.chaos.test_failpoints import Keeper, is_done, keeping, struck, until
from tests.imports.in_parts import begin, finish, put
from tests.imports.mishaps import retry_all
from tests.imports.pipeline import Caller, account_of, bad_record, outcomes_of, push, record, records, stored_by, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_queue")]

POISON = record("KILLER")


def run_with(data_dir: Path, failpoint: str, job: ImportJob, **environment: str) -> None:
    worker = Keeper(
        "worker", {"DATA_DIR": str(data_dir), "FAILPOINT": failpoint, **environment}, data_dir / "worker.log"
    )
    with keeping(worker):
        until(lambda: is_done(job), worker.look, sweeper.sweep)


def require_alone(job: ImportJob, owner: Caller, index: int, code: str, count: int) -> None:
    job = account_of(job)
    assert (job.status, job.failed, job.created) == ("completed", 1, count - 1)
    assert outcomes_of(job).index("failed") == index
    failed = FailedRecord.objects.get(job=job)
    category = "permanent" if code in checking.CODES else "retryable"
    assert (failed.index, failed.code, failed.category, failed.type) == (index, code, category, "customer")
    (error,) = describe(job, job.created_at)["errors"]
    assert (error["record"], error["code"], error["index"]) == ("KILLER", code, index)
    assert len(stored_by(owner)) == count - 1


@pytest.mark.parametrize("index", [377])
def test_the_one_record_that_kills_its_process_stands_alone(owner: Caller, tmp_path: Path, index: int) -> None:
    sent = records(449)
    sent.insert(index, POISON)
    job = push(owner, sent)
    run_with(tmp_path, "reading_record:1000@KILLER", job)
    require_alone(job, owner, index, "kills_worker", 450)
    assert struck(tmp_path, "reading_record") <= 4 * MAX_KILLS


def test_a_worker_over_its_memory_counts_as_killed(owner: Caller, tmp_path: Path) -> None:
    job = push(owner, [record("A"), POISON])
    run_with(tmp_path, "reading_record=memory:1000@KILLER", job)
    require_alone(job, owner, 1, "limit_exceeded", 2)
    assert set(BatchAttempt.objects.values_list("end", flat=True)) == {attempts.OVER_MEMORY, attempts.DONE}


def test_a_worker_over_its_time_counts_as_killed(owner: Caller, tmp_path: Path) -> None:
    job = push(owner, [POISON])
    run_with(tmp_path, "reading_record=hang:1000@KILLER", job, WORKER_BATCH_SECONDS="1")
    require_alone(job, owner, 0, "limit_exceeded", 1)
    assert list(BatchAttempt.objects.values_list("end", flat=True)) == [attempts.OVER_TIME] * MAX_KILLS


def test_one_record_that_fails_again_and_again_does_not_end_its_job(owner: Caller, tmp_path: Path) -> None:
    job = push(owner, [*records(100), POISON, *records(60, prefix="B")])
    run_with(tmp_path, "reading_record=error:1000@KILLER", job)
    require_alone(job, owner, 100, "internal_error", 161)


def test_a_split_that_dies_before_its_commit_is_done_again(owner: Caller, tmp_path: Path) -> None:
    job = push(owner, records(30))
    (batch,) = ImportBatch.objects.filter(job=job)
    note_kills(batch, MAX_KILLS)
    run_with(tmp_path, "splitting", job)
    assert struck(tmp_path, "splitting") == 1
    assert (account_of(job).created, account_of(job).batch_count) == (30, 15)


def note_kills(batch: ImportBatch, count: int) -> None:
    for _ in range(count):
        attempts.begin(batch, worker="killed")


@pytest.mark.usefixtures("small_batches")
def test_a_split_keeps_the_order_of_the_records_and_what_is_superseded(owner: Caller) -> None:
    sent = [*records(7), record("A-2"), *records(20, prefix="B"), record("B-1"), b"null"]
    job = push(owner, sent)
    expected = ["superseded" if place in (2, 9) else "created" for place in range(len(sent) - 1)] + ["failed"]
    for batch in ImportBatch.objects.filter(job=job):
        note_kills(batch, MAX_KILLS)
    work()
    assert account_of(job).batch_count == len(sent)
    assert outcomes_of(job) == expected


def test_what_a_later_record_replaces_is_superseded_however_it_is_taken_apart(owner: Caller) -> None:
    """As a failed record it would be tried again, and stored in the place of the later one where that one is bad."""
    job = push(owner, [record("A"), bad_record("A")])
    for _ in ("both", "the first"):
        note_kills(ImportBatch.objects.filter(job=job, state="pending").order_by("first_index")[0], MAX_KILLS)
        assert work(batches=1) == 1
    work()
    assert outcomes_of(account_of(job)) == ["superseded", "failed"]
    assert not Record.objects.exists()


@pytest.mark.parametrize(
    ("kills", "code"),
    [
        (["crash", "crash", "crash"], "kills_worker"),
        (["crash", "crash", ""], "kills_worker"),  # its parent had not said yet how the last one ended
        (["crash", "", ""], "worker_stopped"),
        (["", "", ""], "worker_stopped"),
        (["time limit", "time limit", ""], "limit_exceeded"),
        (["crash", "memory limit", "memory limit"], "limit_exceeded"),
    ],
)
def test_only_what_is_seen_to_crash_is_the_record_s_own_fault(kills: list[str], code: str) -> None:
    assert attempts.reason_of(kills) == code


def test_a_worker_that_vanishes_with_its_parent_is_no_fault_of_the_record(owner: Caller) -> None:
    job = push(owner, [POISON])
    (batch,) = ImportBatch.objects.filter(job=job)
    note_kills(batch, MAX_KILLS)
    work()
    require_alone(job, owner, 0, "worker_stopped", 1)
    assert FailedRecord.objects.get().next_attempt_at is not None
    retry_all_when_due()
    assert account_of(job).created == 1


def retry_all_when_due() -> None:
    FailedRecord.objects.update(next_attempt_at=Now())
    retry_all()


@pytest.mark.parametrize("how", [attempts.STOPPED, attempts.LOST, attempts.AGAIN])
def test_who_was_stopped_or_lost_the_database_is_no_kill(owner: Caller, how: str) -> None:
    job = push(owner, records(3))
    (batch,) = ImportBatch.objects.filter(job=job)
    for _ in range(5):
        attempts.end(attempts.begin(batch, worker="w"), how)
    assert (attempts.kills_of(batch), attempts.failed_before(batch)) == ([], 0)


def test_what_was_under_way_when_the_database_went_down_is_no_kill(owner: Caller) -> None:
    job = push(owner, records(3))
    (batch,) = ImportBatch.objects.filter(job=job)
    note_kills(batch, 5)
    assert len(attempts.kills_of(batch)) == 5
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_postmaster_start_time()")
        BatchAttempt.objects.update(started_at=cursor.fetchone()[0] - timedelta(seconds=1))
    assert attempts.kills_of(batch) == []
    work()
    assert account_of(job).batch_count == 1


def test_a_poison_record_in_a_job_in_parts_stands_alone(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 2, [*records(8, prefix="B"), POISON, *records(3, prefix="C")])
    put(owner, job, 1, records(6))
    finish(owner, job)
    while not is_done(job):
        for batch in ImportBatch.objects.filter(job=job, state="pending", first_index__lte=14):
            if batch.first_index + batch.record_count > 14:
                note_kills(batch, MAX_KILLS)
                BatchAttempt.objects.filter(batch_id=batch.pk).update(end=attempts.CRASHED)
        assert work(batches=1) == 1
    require_alone(job, owner, 14, "kills_worker", 18)


def test_a_job_in_too_many_pieces_is_given_up(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolating, "MAX_BATCHES", 10)
    job = push(owner, records(50))
    (batch,) = ImportBatch.objects.filter(job=job)
    note_kills(batch, MAX_KILLS)
    work()
    assert (account_of(job).status, account_of(job).unprocessed) == ("failed", 50)


def test_a_dry_run_names_the_poison_too(owner: Caller) -> None:
    job = push(owner, [POISON], kind=ImportJob.Kind.DRY_RUN)
    (batch,) = ImportBatch.objects.filter(job=job)
    note_kills(batch, MAX_KILLS)
    work()
    assert (account_of(job).status, account_of(job).failed) == ("completed", 1)
    assert FailedRecord.objects.get().state == FailedRecord.State.DRY_RUN


@pytest.mark.parametrize("whom", ["parent", "horse"])
def test_a_worker_that_is_asked_to_stop_goes_soon_and_no_try_is_counted(
    owner: Caller, tmp_path: Path, whom: str
) -> None:
    job = push(owner, [POISON])
    worker = Keeper(
        "worker", {"DATA_DIR": str(tmp_path), "FAILPOINT": "reading_record=hang:1"}, tmp_path / "worker.log"
    )
    with keeping(worker):
        until(lambda: struck(tmp_path, "reading_record") == 1, sweeper.sweep)
        parent = psutil.Process(worker.pid)
        (horse,) = parent.children()
        os.kill(parent.pid if whom == "parent" else horse.pid, signal.SIGTERM)
        wait(lambda: BatchAttempt.objects.get().end == attempts.STOPPED)
        parent.kill()
        until(lambda: is_done(job), worker.look, sweeper.sweep)
    assert account_of(job).created == 1


def wait(is_so: Callable[[], bool], seconds: float = 120) -> None:
    deadline = timezone.now() + timedelta(seconds=seconds)
    while not is_so():
        assert timezone.now() < deadline
        time.sleep(0.02)
