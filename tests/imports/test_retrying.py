"""A failed record tried again; each job that is touched gives its whole account after every step."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from audit.context import Actor, acting_as
from customers.keyring import keyring
from customers.models import Customer
from imports import checking, failures, mending, redriving, resolving, results, retrying
from imports.failures import RetryPolicy
from imports.models import FailedRecord, ImportBatch, ImportJob, Record, Redrive
from imports.redrive_plan import Wanted
from tests.imports.mishaps import (
    fail_for_a_passing_reason,
    failed_import,
    large,
    retry_all,
    states_of,
)
from tests.imports.pipeline import (
    Caller,
    account_of,
    another_session,
    bad_record,
    before_insert,
    calling,
    in_threads,
    outcomes_of,
    push,
    record,
    records,
    run,
    stored_by,
    work,
)

pytestmark = pytest.mark.django_db(transaction=True)


def retry_job(caller: Caller, job: ImportJob) -> Redrive:
    with calling(caller):
        return redriving.retry_job(job)


def test_a_retry_stores_the_record_and_moves_it_in_every_count(owner: Caller) -> None:
    run(owner, [large("A"), record("B")])
    job = failed_import(owner, [large("A"), large("B"), large("C"), bad_record("D"), record("E")])
    assert outcomes_of(job) == ["failed"] * 4 + ["created"]
    retry_job(owner, job)
    retry_all()
    assert outcomes_of(account_of(job)) == ["unchanged", "updated", "created", "failed", "created"]
    assert states_of(job) == ["resolved"] * 3 + ["open"]
    assert {row.resolved_by_id for row in FailedRecord.objects.filter(state="resolved")} == {job.pk}
    succeeded = [line["index"] for line in lines(job, "succeeded")]
    assert succeeded == [0, 1, 2, 4]
    assert [line["index"] for line in lines(job, "failed")] == [3]


def lines(job: ImportJob, selection: Any) -> list[dict[str, Any]]:
    return [line for batch in results.batches_of(job, selection) for line in results.lines(job, batch, selection)]


def test_a_retried_record_keeps_its_origin(owner: Caller) -> None:
    job = failed_import(owner, [record("A"), large("B")])
    later = run(owner, records(3, prefix="Z"))
    retry_job(owner, job)
    retry_all()
    row = Record.objects.get(origin_job=job, origin_index=1)
    assert (row.changed_job_id, row.changed_index) == (job.pk, 1)
    assert account_of(later).created == 3


def test_a_retry_never_overwrites_what_came_later(owner: Caller) -> None:
    job = failed_import(owner, [large("A", v="older")])
    row = FailedRecord.objects.get()
    FailedRecord.objects.update(state="discarded")  # so that the later import leaves it alone
    run(owner, [large("A", v="newer")])
    FailedRecord.objects.update(state="open")
    retry_job(owner, job)
    retry_all()
    assert outcomes_of(account_of(job)) == ["superseded"]
    assert stored_by(owner)["customer", "A"]["attributes"]["v"] == "newer"
    row.refresh_from_db()
    assert row.state == FailedRecord.State.RESOLVED


def test_a_retry_that_fails_again_says_so(owner: Caller) -> None:
    job = failed_import(owner, [record("A", attributes={"text": "x" * 300}, customFields={"a": 1})])
    before = FailedRecord.objects.get()
    assert before.code == "record_too_large"
    retry_job(owner, job)
    retry_all()
    account_of(job)
    after = FailedRecord.objects.get()
    assert (after.state, after.code, after.pointer) == ("open", "custom_field_not_a_string", "/customFields/*")
    assert (after.attempts, before.attempts) == (2, 1)
    assert after.tried_at is not None
    assert after.payload is not None
    assert after.payload == before.payload
    assert after.created_at == before.created_at


def test_twenty_parallel_retries_of_all_try_each_record_once(owner: Caller) -> None:
    job = failed_import(owner, [*(large(f"A-{n}") for n in range(20)), *(bad_record(f"B-{n}") for n in range(20))])
    started = in_threads(*[lambda: retry_job(owner, job)] * 20)
    assert len({redrive.uuid for redrive in started}) == 1
    in_threads(*[retry_all] * 4)
    assert outcomes_of(account_of(job)) == ["created"] * 20 + ["failed"] * 20
    assert set(FailedRecord.objects.values_list("attempts", flat=True)) == {2}
    done = Redrive.objects.get()
    assert (done.state, done.succeeded, done.failed_again) == ("done", 20, 20)


def test_overlapping_redrives_try_each_record_once(owner: Caller) -> None:
    job = failed_import(owner, [*(large(f"A-{n}") for n in range(15)), *(bad_record(f"B-{n}") for n in range(15))])
    with calling(owner):
        wanted = Wanted(owner.customer.pk, job=job)
        kinds = [redriving.start(wanted), redriving.start(Wanted(owner.customer.pk)), redriving.start(wanted, sample=9)]
    assert len({redrive.pk for redrive in kinds}) == 3
    in_threads(*[retry_all] * 4)
    assert outcomes_of(account_of(job)) == ["created"] * 15 + ["failed"] * 15
    assert set(FailedRecord.objects.values_list("attempts", flat=True)) == {2}


def test_a_passing_failure_is_tried_again_by_itself(owner: Caller) -> None:
    job = failed_import(owner, [large("A"), record("B")])
    fail_for_a_passing_reason(job)
    assert retrying.is_due()
    retry_all()
    assert outcomes_of(account_of(job)) == ["created", "created"]
    assert not retrying.is_due()


def test_a_passing_failure_is_written_with_the_time_of_its_next_try(owner: Caller) -> None:
    job = run(owner, records(2))
    batch = ImportBatch.objects.get(job=job)
    FailedRecord.objects.all().delete()
    with connection.cursor() as cursor:  # the batch as if its second record had failed
        cursor.execute("UPDATE imports_importbatch SET outcomes = '\\x6366', by_type = %s", ['{"customer": {"processed": 2, "failed": 1}}'])  # fmt: skip # noqa: E501
        cursor.execute("UPDATE imports_importjob SET created = 1, failed = 1")
    failure = failures.Failure(1, b'{"id":"A-1","type":"customer"}', [checking.Problem("lock_timeout", "")])
    now = timezone.now()
    failures.store_failures([failure], job=job, batch=batch, keys=failures_keys(job), now=now)
    row = FailedRecord.objects.get()
    assert row.category == FailedRecord.Category.RETRYABLE
    assert row.next_attempt_at is not None
    assert now <= row.next_attempt_at <= now + timedelta(seconds=2)
    account_of(job)


def failures_keys(job: ImportJob) -> Any:
    return keyring(job.customer_id)


def test_tries_end_and_the_record_waits_for_a_person(owner: Caller) -> None:
    job = failed_import(owner, [large("A")])
    fail_for_a_passing_reason(job)
    with before_insert("imports_record", "RAISE EXCEPTION 'planted' USING ERRCODE = '55P03'"):
        for _ in range(3):
            FailedRecord.objects.update(next_attempt_at=Now())
            retry_all()
            account_of(job)
    row = FailedRecord.objects.get()
    assert (row.state, row.code, row.attempts, row.next_attempt_at) == ("open", "lock_timeout", 4, None)


def test_the_pause_doubles_and_is_spread_over_its_whole_length() -> None:
    policy = RetryPolicy(tries=3, base_seconds=2)
    assert [policy.longest(number) for number in (1, 2, 3, 20)] == [2, 4, 8, 3600]
    pauses = [policy.pause(3).total_seconds() for _ in range(500)]
    assert 0 <= min(pauses) < 1
    assert 7 < max(pauses) <= 8


def test_a_job_or_its_customer_may_have_its_own_tries_and_base(owner: Caller) -> None:
    job = push(owner, records(1))
    assert failures.retry_policy(job.pk) == RetryPolicy(tries=3, base_seconds=2)
    Customer.objects.filter(pk=owner.customer.pk).update(retry_tries=1, retry_base_seconds=60)
    assert failures.retry_policy(job.pk) == RetryPolicy(tries=1, base_seconds=60)
    ImportJob.objects.filter(pk=job.pk).update(retry_tries=0)
    assert failures.retry_policy(job.pk) == RetryPolicy(tries=0, base_seconds=60)


def test_a_worker_that_dies_over_a_record_leaves_it_due_and_is_not_killed_for_ever(owner: Caller) -> None:
    job = failed_import(owner, [large("A"), large("B")])
    retry_job(owner, job)
    with acting_as(Actor("system", "worker-1")):
        assert redriving.release_next()
        for _ in range(4):
            assert retrying._take() is not None  # noted, and then the worker is gone
            FailedRecord.objects.filter(index=0).update(next_attempt_at=Now())
            FailedRecord.objects.filter(index=1).update(next_attempt_at=None)
    account_of(job)
    FailedRecord.objects.filter(index=1).update(next_attempt_at=Now())
    retry_all()
    assert outcomes_of(account_of(job)) == ["failed", "created"]
    poison = FailedRecord.objects.get(index=0)
    assert (poison.state, poison.code, poison.next_attempt_at) == ("open", "worker_stopped", None)
    assert (Redrive.objects.get().state, Redrive.objects.get().succeeded) == ("done", 1)


def test_a_record_that_is_being_tried_is_not_tried_twice(owner: Caller) -> None:
    job = failed_import(owner, [large("A")])
    retry_job(owner, job)
    with acting_as(Actor("system", "worker-1")):
        assert redriving.release_next()
    with another_session() as session, session.transaction():
        session.execute("SELECT 1 FROM imports_failedrecord FOR NO KEY UPDATE")
        assert retry_all() == 0
    retry_all()
    assert account_of(job).created == 1
    assert FailedRecord.objects.get().attempts == 2


def test_a_later_import_resolves_the_failure_by_itself(owner: Caller) -> None:
    older = failed_import(owner, [large("A"), large("B"), record("C")])
    newer = run(owner, [large("A"), record("C")])
    assert outcomes_of(account_of(older)) == ["superseded", "failed", "created"]
    assert states_of(older) == ["resolved", "open"]
    assert FailedRecord.objects.get(index=0).resolved_by_id == newer.pk


def test_an_earlier_import_and_another_customer_resolve_nothing(owner: Caller, stranger: Caller) -> None:
    job = failed_import(owner, [large("A")])
    run(stranger, [large("A")])
    assert states_of(job) == ["open"]


def test_what_a_later_import_overtook_is_resolved_by_the_sweeper(owner: Caller) -> None:
    job = failed_import(owner, [large("A")])
    FailedRecord.objects.update(state="discarded")
    newer = run(owner, [large("A")])
    FailedRecord.objects.update(state="open")
    with acting_as(Actor("system", "sweeper")):
        assert resolving.resolve_overtaken() == 1
        assert resolving.resolve_overtaken() == 0
    assert outcomes_of(account_of(job)) == ["superseded"]
    assert FailedRecord.objects.get().resolved_by_id == newer.pk


def test_imports_and_retries_of_the_same_records_meet_without_harm(owner: Caller) -> None:
    for round_ in range(4):
        older = failed_import(owner, [large(f"A-{n}", v=f"{round_} older") for n in range(60)])
        retry_job(owner, older)
        newer = push(owner, [large(f"A-{n}", v=f"{round_} newer") for n in range(59, -1, -1)])
        in_threads(retry_all, work, retry_all)
        retry_all()
        for job in (older, newer):
            assert account_of(job).failed == 0
        assert {stored["attributes"]["v"] for stored in stored_by(owner).values()} == {f"{round_} newer"}


def test_a_single_retry_is_a_change_of_state_that_one_caller_wins(owner: Caller) -> None:
    job = failed_import(owner, [large("A")])
    row = FailedRecord.objects.get()

    def retry() -> FailedRecord:
        with calling(owner):
            return mending.retry(row)

    answers = in_threads(*[retry] * 6)
    assert sum(isinstance(answer, FailedRecord) for answer in answers) == 1
    assert states_of(job) == ["retrying"]
    retry_all()
    assert account_of(job).created == 1
