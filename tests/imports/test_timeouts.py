"""Locks that somebody holds and statements that take too long, made by PostgreSQL itself."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from audit.context import Actor, acting_as
from customers.keyring import keyring
from customers.models import Customer
from imports import attempts, checking, claiming, doorbell, failures, isolating, opening, settling, sweeper, timeouts
from imports.ending import cancel
from imports.models import BatchAttempt, FailedRecord, ImportBatch, ImportJob, Record
from imports.refusal import Refusal
from tests.chaos.test_failpoints import Keeper, is_done, keeping, until
from tests.imports.mishaps import retry_all
from tests.imports.pipeline import (
    METADATA,
    Caller,
    account_of,
    another_session,
    calling,
    in_threads,
    outcomes_of,
    push,
    record,
    records,
    run,
    submission,
    work,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_queue")]

COUNT = 300
LOCKED = 137


@pytest.fixture
def short_waits() -> Iterator[None]:
    """This process's connections as a worker's, with bounds that a test can wait for."""
    options = connection.settings_dict["OPTIONS"]
    before = options["options"]
    timeouts.bound_waits(lock_seconds=0.1, statement_seconds=0.5)
    reconnect()
    yield
    options["options"] = before
    reconnect()


def reconnect() -> None:
    connection.close()
    if attempts._note is not None:
        attempts._note.close()


@pytest.fixture
def impatient(owner: Caller) -> None:
    """One more try for each batch and record, soon."""
    Customer.objects.filter(pk=owner.customer.pk).update(retry_tries=1, retry_base_seconds=1)


@contextmanager
def held(query: str, *parameters: Any) -> "Iterator[psycopg.Connection[Any]]":
    """Somebody's open transaction that has locked what the query names."""
    with another_session() as session, session.transaction():
        session.execute(query, parameters)
        yield session


def record_of(caller: Caller, index: int) -> int:
    return Record.objects.get(customer=caller.customer, origin_index=index).pk


LOCK_RECORD = "SELECT FROM imports_record WHERE id = %s FOR UPDATE"


def work_when_due(job: ImportJob, *, turns: int = 200) -> None:
    """Works to the job's end as if no time passed between its tries."""
    for _ in range(turns):
        if not work(batches=1):
            if is_done(job):
                return
            ImportBatch.objects.filter(job=job).update(due_at=None)
    raise AssertionError("it does not come to an end")


def changed(count: int = COUNT) -> list[dict[str, Any]]:
    return records(count, attributes={"v": "changed"})


@pytest.mark.usefixtures("short_waits", "impatient")
def test_a_locked_record_stands_alone_and_all_others_are_stored(owner: Caller) -> None:
    run(owner, records(COUNT))
    job = push(owner, changed())
    with held(LOCK_RECORD, record_of(owner, LOCKED)):
        work_when_due(job)
        ended = account_of(job)
        assert (ended.status, ended.updated, ended.failed) == ("completed", COUNT - 1, 1)
        failed = FailedRecord.objects.get()
        assert (failed.index, failed.code, failed.category, failed.stage) == (
            LOCKED,
            "lock_timeout",
            "retryable",
            "store",
        )
        assert failed.next_attempt_at is not None
    FailedRecord.objects.update(next_attempt_at=Now())
    assert retry_all() > 0
    assert outcomes_of(account_of(job)) == ["updated"] * COUNT


@pytest.mark.usefixtures("short_waits", "impatient")
def test_pieces_of_a_batch_that_timed_out_have_one_try_each(owner: Caller) -> None:
    run(owner, records(COUNT))
    BatchAttempt.objects.all().delete()
    job = push(owner, changed())
    with held(LOCK_RECORD, record_of(owner, LOCKED)):
        work_when_due(job)
    # The whole batch twice, then once each: its piece of 15 records, and the record alone.
    assert list(BatchAttempt.objects.exclude(end="done").values_list("end", flat=True)) == ["lock_timeout"] * 4


@pytest.mark.usefixtures("short_waits", "impatient")
def test_a_statement_that_takes_too_long_over_one_record_fails_it_alone(owner: Caller) -> None:
    job = push(owner, records(100))
    with slow_over(index=42):
        work_when_due(job)
    assert account_of(job).created == 99
    failed = FailedRecord.objects.get()
    assert (failed.index, failed.code, failed.category) == (42, "statement_timeout", "retryable")
    FailedRecord.objects.update(next_attempt_at=Now())
    retry_all()
    assert account_of(job).created == 100


@contextmanager
def slow_over(*, index: int) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION test_slow() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER test_slow BEFORE INSERT ON imports_record FOR EACH ROW "
            f"WHEN (NEW.origin_index = {index}) EXECUTE FUNCTION test_slow()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION test_slow CASCADE")


@pytest.mark.usefixtures("short_waits")
def test_a_time_out_puts_the_batch_off_by_the_retry_policy(owner: Caller) -> None:
    run(owner, records(COUNT))
    job = push(owner, changed())
    with held(LOCK_RECORD, record_of(owner, LOCKED)):
        for tries in (1, 2, 3):
            assert work() == 1
            (batch,) = ImportBatch.objects.filter(job=job)
            assert batch.due_at is not None
            assert batch.due_at <= timezone.now() + timedelta(seconds=2**tries)
            assert attempts.timed_out_before(batch) == tries
            ImportBatch.objects.update(due_at=None)
        assert work(batches=1) == 1
        assert ImportBatch.objects.filter(job=job, is_suspect=True).count() == 20
    work_when_due(job)
    assert account_of(job).updated == COUNT


@pytest.mark.usefixtures("short_waits", "impatient")
def test_a_table_locked_for_long_gives_no_job_up(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolating, "MAX_BATCHES", 10)
    job = push(owner, records(COUNT))
    with held("LOCK TABLE imports_record IN SHARE MODE"):
        for _ in range(5):
            assert work() == 1
            (batch,) = ImportBatch.objects.filter(job=job)
            assert batch.due_at is not None
            left = batch.due_at - timezone.now()
            ImportBatch.objects.update(due_at=None)
        assert left > timedelta(seconds=settling.LONG_PAUSE_SECONDS - 10)
    work_when_due(job)
    assert account_of(job).created == COUNT


@pytest.mark.usefixtures("short_waits", "impatient", "small_batches")
@pytest.mark.parametrize("started", [False, True])
def test_a_locked_job_waits_and_is_not_given_up(owner: Caller, started: bool) -> None:
    job = push(owner, records(20))
    if started:
        work(batches=1)
    with held("SELECT FROM imports_importjob WHERE id = %s FOR UPDATE", job.pk):
        for _ in range(4):
            work()
            ImportBatch.objects.update(due_at=None)
    work_when_due(job)
    assert account_of(job).created == 20
    assert job.batch_count == 2


@pytest.mark.usefixtures("short_waits")
def test_a_locked_table_of_batches_ends_the_turn_and_no_more(owner: Caller) -> None:
    job = push(owner, records(5))
    with held("LOCK TABLE imports_importbatch IN ACCESS EXCLUSIVE MODE"):
        assert work() == 0
    work()
    assert account_of(job).created == 5


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("sqlstate", ["53100", "53200"])
def test_a_full_server_is_waited_for_and_nothing_is_taken_apart(owner: Caller, sqlstate: str) -> None:
    job = push(owner, records(30))
    with refusing(sqlstate):
        for _ in range(8):
            assert work() == 1
            assert ImportBatch.objects.filter(due_at__isnull=False).count() == 1
            ImportBatch.objects.update(due_at=None)
    work()
    assert (account_of(job).created, account_of(job).batch_count) == (30, 1)


@contextmanager
def refusing(sqlstate: str) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION test_full() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = '{sqlstate}'; END $$"
        )
        cursor.execute("CREATE TRIGGER test_full BEFORE INSERT ON imports_record EXECUTE FUNCTION test_full()")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION test_full CASCADE")


@pytest.mark.usefixtures("short_waits")
def test_a_job_s_own_policy_decides_for_its_batches_and_its_failures(owner: Caller) -> None:
    run(owner, [record("A")])
    job = push(owner, [record("A", customFields={"n": "1"})], parameters={"retryTries": "0", "retryBaseSeconds": "9"})
    assert failures.retry_policy(job.pk) == failures.RetryPolicy(tries=0, base_seconds=9)
    with held("SELECT FROM imports_record FOR UPDATE"):
        assert work() == 1
    failed = FailedRecord.objects.get()
    assert (account_of(job).failed, failed.code, failed.next_attempt_at) == (1, "lock_timeout", None)


@pytest.mark.parametrize(
    "wrong",
    [{"retryTries": "21"}, {"retryTries": "-1"}, {"retryTries": ""}, {"retryTries": "\u0663"}]
    + [{"retryBaseSeconds": value} for value in ("0", "3601", "1.5", "00001")],
)
def test_a_policy_out_of_bounds_makes_no_job(owner: Caller, wrong: dict[str, str]) -> None:
    with pytest.raises(Refusal) as refused:
        push(owner, records(1), parameters=wrong)
    assert refused.value.code == "invalid_parameter"
    with pytest.raises(Refusal), calling(owner):
        opening.open_job(submission(owner, b'{"metadata":' + json.dumps(METADATA).encode() + b"}", parameters=wrong))
    assert not ImportJob.objects.exists()


def test_a_job_in_parts_brings_its_policy_when_it_is_opened(owner: Caller) -> None:
    body = b'{"metadata":' + json.dumps(METADATA).encode() + b"}"
    with calling(owner):
        job = opening.open_job(submission(owner, body, parameters={"retryTries": "7"}))
    assert failures.retry_policy(job.pk) == failures.RetryPolicy(tries=7, base_seconds=2)


def put_off(job: ImportJob, seconds: float = 3600) -> None:
    ImportBatch.objects.filter(job=job).update(due_at=Now() + timedelta(seconds=seconds))


def test_a_batch_that_is_put_off_is_neither_claimed_nor_rung_for(owner: Caller) -> None:
    job = push(owner, records(5))
    doorbell.queue().delete(delete_jobs=True)
    put_off(job)
    doorbell.ring(job.pk)
    assert work() == 0
    with acting_as(Actor("system", "sweeper")):
        assert sweeper.sweep() == 0
        assert doorbell.waiting() == 0
        put_off(job, seconds=-1)
        assert sweeper.sweep() == 1
    assert doorbell.waiting() == 1
    work()
    assert account_of(job).created == 5


def test_jobs_that_are_put_off_do_not_hide_others(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "_JOBS_LOOKED_AT", 1)
    put_off(push(owner, records(5)))
    second = push(owner, records(5, prefix="B"))
    work()
    assert account_of(second).created == 5


def test_a_cancelled_import_drops_what_is_put_off(owner: Caller) -> None:
    job = push(owner, records(5))
    put_off(job)
    with calling(owner):
        cancel(job.pk)
    assert (account_of(job).status, account_of(job).unprocessed) == ("failed", 5)


def test_a_batch_that_somebody_took_meanwhile_is_not_put_off(owner: Caller) -> None:
    push(owner, records(5))
    with transaction.atomic():
        batch = claiming.claim()
        assert batch is not None
        held_batch = batch
        in_threads(lambda: settling.put_off(held_batch, "lock_timeout", timedelta(seconds=60)))
    assert ImportBatch.objects.get().due_at is None


@pytest.mark.usefixtures("short_waits")
def test_a_locked_record_keeps_a_retry_no_longer_than_its_bound(owner: Caller) -> None:
    run(owner, [record("A")])
    job = run(owner, [record("A", customFields={"n": "1"}), record("B")])
    put_back(job)
    with held("SELECT FROM imports_record FOR UPDATE"):
        for _ in range(3):
            FailedRecord.objects.update(next_attempt_at=Now())
            retry_all()
    row = FailedRecord.objects.get()
    assert (row.state, row.code, row.attempts, row.next_attempt_at) == ("open", "lock_timeout", 4, None)


def put_back(job: ImportJob) -> None:
    """As if the job's first record had failed for a passing reason: its failure is written as a batch writes it."""
    batch = ImportBatch.objects.get(job=job)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE imports_importbatch SET outcomes = set_byte(outcomes, 0, 102), by_type = %s WHERE id = %s",
            ['{"customer": {"processed": 2, "failed": 1}}', batch.pk],
        )
        cursor.execute("UPDATE imports_importjob SET updated = 0, failed = 1 WHERE id = %s", [job.pk])
        cursor.execute("UPDATE imports_record SET origin_job_id = origin_job_id - 1 WHERE origin_index = 0")
    raw = b'{"id":"A","type":"customer","attributes":{"name":"name of A"},"customFields":{"n":"1"}}'
    failure = failures.Failure(0, raw, [checking.Problem("lock_timeout", "")])
    keys = keyring(job.customer_id)
    failures.store_failures([failure], job=job, batch=batch, keys=keys, now=timezone.now())


def test_a_worker_passes_a_locked_record_by_and_comes_back_to_it(owner: Caller, tmp_path: Path) -> None:
    """The whole way in real processes: time-out, pause, ring of the sweeper, pieces, failed record, its retry."""
    run(owner, records(COUNT))
    Customer.objects.filter(pk=owner.customer.pk).update(retry_tries=2, retry_base_seconds=1)
    job = push(owner, changed())
    worker = Keeper("worker", {"DATA_DIR": str(tmp_path), "WORKER_LOCK_SECONDS": "1"}, tmp_path / "worker.log")
    sweeps = Keeper("sweeper", {"DATA_DIR": str(tmp_path)}, tmp_path / "sweeper.log")
    with keeping(worker, sweeps):
        with held(LOCK_RECORD, record_of(owner, LOCKED)):
            until(lambda: is_done(job))
            assert (account_of(job).updated, account_of(job).failed) == (COUNT - 1, 1)
        until(lambda: ImportJob.objects.get(pk=job.pk).updated == COUNT)
    assert outcomes_of(account_of(job)) == ["updated"] * COUNT
    assert (worker.starts, sweeps.starts) == (1, 1)
