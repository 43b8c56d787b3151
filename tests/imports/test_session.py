"""Database sessions that are ended in the middle of the work, by PostgreSQL's own pg_terminate_backend."""

import logging

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models.functions import Now

from audit.context import Actor, acting_as
from imports import attempts, processing, settling, tasks
from imports.api.problems import problem_of
from imports.models import BatchAttempt, FailedRecord, ImportBatch, ImportJob
from tests.config.probes import wait_until
from tests.imports.mishaps import fail_for_a_passing_reason, failed_import, large, retry_all
from tests.imports.pipeline import Caller, account_of, another_session, before_insert, push, records, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("empty_queue")]

TIMES = settling.MAX_ERRORS + 1
OWN = "pg_terminate_backend(pg_backend_pid())"
ALL = """pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user ORDER BY pid = pg_backend_pid()"""


def ends(sessions: str, times: int) -> str:
    """PL/pgSQL for a trigger, which ends these sessions the first times that it runs."""
    return f"IF nextval('test_inserts') <= {times} THEN PERFORM {sessions}; END IF"


@pytest.mark.parametrize("sessions", [OWN, ALL], ids=["the batch's", "all"])
def test_a_lost_session_is_neither_an_error_nor_a_kill(owner: Caller, sessions: str) -> None:
    job = push(owner, records(5))
    with before_insert("imports_record", ends(sessions, TIMES)):
        for _ in range(TIMES):
            with pytest.raises(OperationalError):
                work(batches=1)
            batch = ImportBatch.objects.get(job=job)
            assert (batch.state, batch.due_at) == ("pending", None)
            assert (attempts.kills_of(batch), attempts.failed_before(batch)) == ([], 0)
        work()
    assert account_of(job).created == 5
    noted = BatchAttempt.objects.order_by("pk").values_list("end", flat=True)
    assert list(noted) == [attempts.LOST] * TIMES + [attempts.DONE]


def test_a_lost_session_ends_the_turn_with_one_line_and_the_next_does_the_work(
    owner: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    job = push(owner, records(5))
    with before_insert("imports_record", ends(OWN, 1)):
        turn(job)
        (line,) = [entry for entry in caplog.records if entry.levelno >= logging.WARNING]
        assert line.getMessage().startswith(f"turn_cut_short job={job.pk} worker=")
        assert (line.exc_info, line.getMessage().count("\n")) == (None, 0)
        assert account_of(job).processed == 0
        turn(job)
    assert account_of(job).created == 5


def test_a_session_that_was_silent_for_too_long_is_a_lost_one(
    owner: Caller, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a worker that was stopped for a while."""
    job = push(owner, records(5))
    with monkeypatch.context() as stopped:
        stopped.setattr(processing, "sort_out", lambda *_args, **_others: wait_until_ended())
        turn(job)
    (line,) = [entry for entry in caplog.records if entry.levelno >= logging.WARNING]
    assert line.getMessage().startswith(f"turn_cut_short job={job.pk} worker=")
    assert line.getMessage().endswith(" cause=IdleInTransactionSessionTimeout")
    assert line.exc_info is None
    turn(job)
    assert account_of(job).created == 5
    noted = BatchAttempt.objects.order_by("pk").values_list("end", flat=True)
    assert list(noted) == [attempts.LOST, attempts.DONE]


def test_a_call_whose_session_was_ended_may_come_again() -> None:
    with pytest.raises(DatabaseError) as ended, transaction.atomic():
        wait_until_ended()
    problem = problem_of(ended.value)
    assert problem is not None
    assert (problem.code, problem.status) == ("unavailable", 503)


def wait_until_ended() -> None:
    """Says nothing in its transaction until PostgreSQL has ended the session; then asks it something."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '100ms'")
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
        with another_session() as watching:
            there = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
            wait_until(lambda: watching.execute(there, [backend]).fetchone() == (0,))
        cursor.execute("SELECT 1")


def test_a_session_lost_while_a_batch_is_taken_apart_gives_no_job_up(owner: Caller) -> None:
    job = push(owner, records(5))
    batch = ImportBatch.objects.get(job=job)
    BatchAttempt.objects.bulk_create(
        BatchAttempt(
            batch_id=batch.pk, customer_id=owner.customer.pk, worker="w", started_at=Now(), ended_at=Now(), end="X"
        )
        for _ in range(settling.MAX_ERRORS)
    )
    with before_insert("imports_importbatch", ends(OWN, 1)), pytest.raises(OperationalError):
        settling.settle(ValueError("planted"), batch)
    assert account_of(job).status == "pending"
    work()
    assert account_of(job).created == 5


def test_a_session_lost_over_a_retry_leaves_the_record_due(owner: Caller) -> None:
    job = failed_import(owner, [large("A")])
    fail_for_a_passing_reason(job)
    FailedRecord.objects.update(tries=2)
    with before_insert("imports_record", ends(OWN, 1)), pytest.raises(OperationalError):
        retry_all()
    failed = FailedRecord.objects.get()
    assert (failed.code, failed.state) == ("lock_timeout", "open")
    assert failed.next_attempt_at is not None
    FailedRecord.objects.update(tries=2, next_attempt_at=Now())
    retry_all()
    assert account_of(job).created == 1


def turn(job: ImportJob) -> None:
    with acting_as(Actor("system", "worker-1")):
        tasks.work(job.pk)
