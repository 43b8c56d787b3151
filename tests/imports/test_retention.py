"""What was sent goes when an import's retention ends; its counts stay, and no record ends in silence."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from audit.clock import database_now
from audit.context import Actor, acting_as
from audit.models import AuditEvent
from config.doctor import State
from config.doctor import data as doctor
from customers.models import Customer
from imports import expiry, mending, redriving, results, retention, sweeper, undoing
from imports.ending import cancel
from imports.failure_listing import in_full
from imports.models import FailedRecord, ImportBatch, ImportJob, ImportPart, RecordVersion, RetentionWarning, Undo
from imports.redrive_plan import Wanted
from imports.refusal import Refusal
from imports.retrying import retry_next
from imports.status import describe
from tests.imports.pipeline import (
    Caller,
    account_of,
    another_session,
    bad_record,
    calling,
    in_threads,
    push,
    record,
    records,
    run,
    stored_by,
    work,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("small_batches")]

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def acting() -> Iterator[None]:
    with acting_as(Actor("system", "sweeper")):
        yield


def end_of(job: ImportJob) -> datetime:
    return ImportJob.objects.values_list("expires_at", flat=True).get(pk=job.pk)


def purge(now: datetime) -> int:
    return sum(retention.purge(now))


def content_of(job: ImportJob) -> int:
    """How many ciphertexts of the job are left."""
    return (
        ImportBatch.objects.filter(job=job, payload__isnull=False).count()
        + sum(
            FailedRecord.objects.filter(job=job, **{f"{column}__isnull": False}).count()
            for column in ("payload", "problems", "edited", "key")
        )
        + RecordVersion.objects.filter(job=job).count()
        + ImportJob.objects.filter(pk=job.pk, metadata__isnull=False).count()
        + ImportJob.objects.filter(pk=job.pk).exclude(body_digest=b"").count()
        + ImportPart.objects.filter(job=job).exclude(body_digest=b"").count()
    )


def test_it_ends_so_many_days_after_the_import_has(owner: Caller) -> None:
    job = run(owner, records(25))
    assert job.finished_at is not None
    retained = end_of(job) - job.finished_at
    assert abs(retained - owner.customer.retention_days * DAY) < timedelta(seconds=1)
    with calling(owner):
        cancelled = cancel(push(owner, records(25)).pk)
    assert cancelled.finished_at is not None
    assert end_of(cancelled) - cancelled.finished_at == owner.customer.retention_days * DAY


def test_content_goes_at_its_end_and_not_before(owner: Caller, stranger: Caller) -> None:
    job = run(owner, [*records(25), *(bad_record(f"bad-{n}") for n in range(4))])
    strangers = run(stranger, [*records(3), bad_record()])
    mending.edit(FailedRecord.objects.filter(job=job).first(), json.dumps(record("x")).encode(), attempt=1)  # type: ignore[arg-type]
    ImportPart.objects.create(
        job=job, customer=owner.customer, number=1, body_digest=b"digest", form="", wire_bytes=1, record_count=29,
        created_at=job.created_at,
    )  # fmt: skip
    before = content_of(job)
    assert purge(end_of(job) - timedelta(microseconds=1)) == 0
    assert content_of(job) == before
    assert purge(min(end_of(job), end_of(strangers))) == 4 + 3
    assert content_of(job) == 0
    assert content_of(strangers) == 1 + 3 + 2
    assert len(stored_by(owner)) == 25, "records are kept"


def test_counts_codes_and_outcomes_stay(owner: Caller) -> None:
    job = run(owner, [*records(15), bad_record("a"), bad_record("b")])
    mending.discard(FailedRecord.objects.filter(job=job)[0], reason="test")
    before = describe(job, job.created_at)
    purge(end_of(job))
    after = describe(account_of(job), job.created_at)
    same = set(before) - {"errors", "errorSummary"}
    assert {name: after[name] for name in same} == {name: before[name] for name in same}  # type: ignore[literal-required]
    assert [(line["code"], line["count"]) for line in after["errorSummary"]] == [("custom_field_not_a_string", 2)]
    assert after["errors"] == [
        {
            "record": f"#{index}",
            "error": "A custom field's value must be a string.",
            "index": index,
            "code": "custom_field_not_a_string",
            "pointer": "/customFields/*",
        }
        for index in (15, 16)
    ]
    states = FailedRecord.objects.filter(job=job).order_by("index").values_list("state", flat=True)
    assert list(states) == ["discarded", "expired"]


def test_the_trail_tells_it_once_with_counts(owner: Caller) -> None:
    job = run(owner, [*records(15), bad_record("a"), bad_record("b")])
    for _ in range(2):
        purge(end_of(job))
    event = AuditEvent.objects.get(action="import.purged")
    assert (event.target, event.record_count) == (f"import:{job.uuid}", 17)
    assert event.detail == {"batches": 2, "failed_records": 2, "expired": 2}


def test_results_are_refused_from_the_very_end_on(owner: Caller) -> None:
    job = run(owner, records(3))
    ImportJob.objects.filter(pk=job.pk).update(expires_at=database_now())
    job.refresh_from_db()
    for purged in (0, 1):
        with pytest.raises(Refusal) as caught:
            results.batches_of(ImportJob.objects.get(pk=job.pk), "succeeded")
        assert caught.value.code == "results_expired"
        assert purge(database_now()) == 1 - purged


def test_an_expired_record_can_be_read_and_neither_retried_nor_edited(owner: Caller) -> None:
    job = run(owner, [bad_record("a"), bad_record("b")])
    mending.discard(FailedRecord.objects.filter(job=job)[0], reason="test")
    purge(end_of(job))
    for failure in FailedRecord.objects.filter(job=job).select_related("job", "resolved_by"):
        found = in_full(failure)
        assert (found["record"], found["data"], found["edited"]) == (None, None, None)
        mended = json.dumps(record("a")).encode()
        for step in (
            partial(mending.retry, failure),
            partial(mending.edit, failure, mended, attempt=failure.attempts),
            partial(mending.discard, failure, reason="test"),
        ):
            with pytest.raises(Refusal) as caught:
                step()
            assert caught.value.code == "content_removed"
    for state in ("open", "discarded"):
        assert Wanted(owner.customer.pk, job=job, state=state).failures().count() == 0
    assert redriving.retry_job(job).total == 0


def test_an_unfinished_import_is_never_purged_and_has_its_days_after_its_end(owner: Caller) -> None:
    job = push(owner, records(25))
    work(batches=1)
    late = database_now() + 400 * DAY
    assert purge(late) == 0
    ImportJob.objects.filter(pk=job.pk).update(expires_at=database_now() - DAY, created_at=database_now() - 31 * DAY)
    assert purge(database_now()) == 0
    work()
    assert end_of(job) > database_now() + 29 * DAY
    assert purge(database_now()) == 0
    assert account_of(job).created == 25


@pytest.mark.parametrize("days", [1, 90])
def test_a_changed_setting_holds_for_imports_that_are_there(owner: Caller, stranger: Caller, days: int) -> None:
    jobs = [run(owner, records(3)), run(stranger, records(1)), push(owner, records(3))]
    kept = end_of(jobs[1])
    assert retention.follow_settings() == 0
    Customer.objects.filter(pk=owner.customer.pk).update(retention_days=days)
    assert retention.follow_settings() == 2
    finished, waiting = (ImportJob.objects.get(pk=job.pk) for job in jobs[::2])
    assert finished.finished_at is not None
    assert finished.expires_at == finished.finished_at + days * DAY
    assert waiting.expires_at == waiting.created_at + days * DAY
    assert end_of(jobs[1]) == kept
    assert retention.follow_settings() == 0


def test_a_shortened_retention_purges_at_the_next_tidying(owner: Caller) -> None:
    job = run(owner, [*records(3), bad_record()])
    past = database_now() - 5 * DAY
    ImportJob.objects.filter(pk=job.pk).update(created_at=past, finished_at=past, expires_at=past + 30 * DAY)
    sweeper.tidy()
    assert content_of(job) > 0
    Customer.objects.filter(pk=owner.customer.pk).update(retention_days=5)
    sweeper.tidy()
    assert content_of(job) == 0


def test_what_has_expired_stays_so_when_the_retention_grows(owner: Caller) -> None:
    job = run(owner, records(3))
    end = end_of(job)
    purge(end)
    Customer.objects.filter(pk=owner.customer.pk).update(retention_days=3650)
    assert retention.follow_settings() == 0
    assert end_of(job) == end


def test_customers_whose_settings_hold_cost_two_looks_into_an_index(owner: Caller) -> None:
    run(owner, records(1))
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        cursor.execute("SET enable_sort = off")
        cursor.execute(f"EXPLAIN {retention._DIFFERING}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
        cursor.execute("RESET enable_seqscan")
        cursor.execute("RESET enable_sort")
    assert plan.count("using import_job_retention") == 2, plan
    assert "Sort" not in plan


def test_what_an_import_replaced_goes_with_it(owner: Caller) -> None:
    older = run(owner, records(3))
    newer = run(owner, records(3, customFields={"tier": "gold"}))
    purge(end_of(older))
    assert RecordVersion.objects.filter(job=newer).count() == 3
    assert purge(end_of(newer)) == 3 + 1
    assert (RecordVersion.objects.count(), content_of(newer)) == (0, 0)
    with pytest.raises(Refusal) as caught:
        undoing.start(ImportJob.objects.get(pk=newer.pk))
    assert caught.value.code == "results_expired"


def test_an_undo_under_way_comes_to_its_end_first(owner: Caller) -> None:
    run(owner, records(3))
    newer = run(owner, records(3, customFields={"tier": "gold"}))
    undoing.start(newer)
    assert purge(end_of(newer)) == 1, "the older one alone"
    while undoing.undo_next():
        pass
    assert Undo.objects.get().restored == 3
    assert purge(end_of(newer)) == 1


def test_it_may_be_killed_after_any_portion(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    job = run(owner, [*records(55), *(bad_record(f"bad-{n}") for n in range(25))])
    _in_small_portions(monkeypatch)
    end, steps = end_of(job), 0
    while True:
        left = content_of(job)
        killed = retention.purge(end)
        count = next(killed, None)
        killed.close()
        if count is None:
            break
        assert count <= 10
        assert content_of(job) < left
        assert account_of(job).failed == 25
        steps += 1
    assert (content_of(job), steps) == (0, 3 + 1)
    assert ImportJob.objects.get(pk=job.pk).purged_at == end


def _in_small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CONTENT", tuple(replace(content, at_once=10) for content in retention.CONTENT))


def test_rows_that_somebody_holds_are_left_and_go_the_next_time(owner: Caller) -> None:
    job = run(owner, [*records(15), *(bad_record(f"bad-{n}") for n in range(3))])
    other = run(owner, records(5, "B"))
    with another_session() as session, session.transaction():
        session.execute("SELECT id FROM imports_importbatch ORDER BY id LIMIT 1 FOR NO KEY UPDATE")
        session.execute("SELECT id FROM imports_failedrecord ORDER BY id LIMIT 1 FOR NO KEY UPDATE")
        assert purge(end_of(other)) == 2 + 1 + 1
        assert (content_of(job), content_of(other)) == (1 + 3, 0)
        assert ImportJob.objects.get(pk=job.pk).purged_at is None
    assert purge(end_of(other)) == 2
    assert content_of(job) == 0
    assert AuditEvent.objects.filter(action="import.purged").count() == 2


def test_many_imports_and_many_sweepers(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "JOBS_AT_ONCE", 3)
    jobs = [run(owner, [*records(2, f"{n}"), bad_record(f"bad-{n}")]) for n in range(8)]
    end = end_of(jobs[-1])

    def sweep() -> int:
        with acting_as(Actor("system", "sweeper")):
            return purge(end)

    assert sum(in_threads(*[sweep] * 4)) + purge(end) == 16
    assert sum(content_of(job) for job in jobs) == 0
    assert AuditEvent.objects.filter(action="import.purged").count() == 8


def test_a_retry_under_way_meets_an_expired_record_and_leaves_it(owner: Caller) -> None:
    job = run(owner, [bad_record("a")])
    mending.retry(FailedRecord.objects.get(job=job))
    purge(end_of(job))
    with acting_as(Actor("system", "worker-1")):
        assert not retry_next()
    assert FailedRecord.objects.get(job=job).state == "expired"
    account_of(job)


def test_open_failures_are_announced_once_a_threshold(owner: Caller, stranger: Caller) -> None:
    job = run(owner, [*records(3), bad_record("a"), bad_record("b")])
    run(stranger, records(3))
    end = end_of(job)
    assert expiry.warn(end - 7 * DAY - timedelta(seconds=1)) == 0
    assert [expiry.warn(end - 7 * DAY), expiry.warn(end - 6 * DAY)] == [1, 0]
    mending.discard(FailedRecord.objects.filter(job=job)[0], reason="test")
    assert [expiry.warn(end - DAY), expiry.warn(end - DAY)] == [1, 0]
    assert list(RetentionWarning.objects.order_by("pk").values_list("job", "days", "count")) == [
        (job.pk, 7, 2),
        (job.pk, 1, 1),
    ]
    events = AuditEvent.objects.filter(action="failed_records.expiring").order_by("sequence")
    assert [(event.target, event.record_count, event.detail) for event in events] == [
        (f"import:{job.uuid}", 2, {"days": 7}),
        (f"import:{job.uuid}", 1, {"days": 1}),
    ]


def test_a_job_found_late_is_announced_by_the_nearest_threshold_alone(owner: Caller) -> None:
    job = run(owner, [bad_record("a")])
    assert expiry.warn(end_of(job) - timedelta(hours=3)) == 1
    assert expiry.warn(end_of(job) - timedelta(hours=2)) == 0
    assert RetentionWarning.objects.get().days == 1


@pytest.mark.parametrize("days", [1, 7])
def test_a_short_retention_is_announced_too(owner: Caller, days: int) -> None:
    Customer.objects.filter(pk=owner.customer.pk).update(retention_days=days)
    job = run(owner, [bad_record("a")])
    assert expiry.warn(end_of(job) - timedelta(hours=23)) == 1


def test_whoever_has_no_open_failure_is_not_bothered(owner: Caller) -> None:
    job = run(owner, [*records(3), bad_record("a")])
    mending.discard(FailedRecord.objects.get(job=job), reason="test")
    dry = run(owner, [bad_record("a")], kind="dry_run")
    assert expiry.warn(max(end_of(job), end_of(dry)) - timedelta(hours=1)) == 0


def test_doctor_sees_what_is_overdue_and_what_was_left_behind(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    job = run(owner, [*records(3), bad_record("a")])
    assert doctor.retention().state is State.OK
    ImportJob.objects.filter(pk=job.pk).update(expires_at=database_now() - timedelta(hours=2))
    finding = doctor.retention()
    assert (finding.state, "1 import" in finding.says) == (State.FAULT, True)
    purge(database_now())
    assert doctor.retention().state is State.OK
    ImportBatch.objects.filter(job=job).update(payload=b"left behind")
    assert doctor.retention().state is State.FAULT


def test_an_import_that_is_being_purged_is_locked_for_nobody(owner: Caller) -> None:
    """Between its portions everything that reads a job goes on."""
    job = run(owner, [*records(25), bad_record("a")])
    portions = retention.purge(end_of(job))
    next(portions)
    with transaction.atomic():
        ImportJob.objects.select_for_update(nowait=True).get(pk=job.pk)
    assert describe(account_of(job), job.created_at)["progress"]["failed"] == 1


def test_a_dry_run_expires_like_an_import(owner: Caller) -> None:
    job = run(owner, [record("A"), bad_record("B")], kind="dry_run")
    purge(end_of(job))
    assert content_of(job) == 0
    assert FailedRecord.objects.get(job=job).state == "dry_run"
    described: Any = describe(account_of(job), job.created_at)
    assert described["would"] == {"create": 1, "update": 0, "unchanged": 0}
