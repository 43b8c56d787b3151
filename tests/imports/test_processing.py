"""One batch from its ciphertext to records, failures and counts; each job that runs gives its whole account."""

import json
import logging

import pytest
from django.db import connection

from audit.models import AuditEvent
from audit.trail import verify_chain
from imports import attempts, settling
from imports.models import BatchAttempt, FailedRecord, ImportBatch, ImportJob, Record
from tests.imports.pipeline import (
    REQUEST_ID,
    SOURCE_IP,
    Caller,
    account_of,
    bad_record,
    before_insert,
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

KINDS = [record("A"), record("B", "order"), record("C", "product"), bad_record("D"), record("A"), b"null"]
FAULT = "RAISE EXCEPTION 'planted'"


def test_every_record_of_a_job_is_accounted_for(owner: Caller) -> None:
    job = run(owner, KINDS)
    assert job.status == ImportJob.Status.COMPLETED
    assert outcomes_of(job) == ["superseded", "created", "created", "failed", "created", "failed"]
    assert set(stored_by(owner)) == {("customer", "A"), ("order", "B"), ("product", "C")}


def test_a_second_push_of_the_same_is_unchanged(owner: Caller) -> None:
    run(owner, records(25))
    before = list(Record.objects.order_by("pk").values_list("pk", "payload", "updated_at", "changed_job"))
    job = run(owner, records(25))
    assert outcomes_of(job) == ["unchanged"] * 25
    assert list(Record.objects.order_by("pk").values_list("pk", "payload", "updated_at", "changed_job")) == before
    assert set(Record.objects.values_list("origin_job", flat=True)) == {job.pk}


def test_only_what_changed_is_updated(owner: Caller) -> None:
    run(owner, records(3))
    changed = record("A-1", attributes={"name": "another", "n": 1.5})
    job = run(owner, [record("A-0"), changed, record("A-2")])
    assert outcomes_of(job) == ["unchanged", "updated", "unchanged"]
    assert stored_by(owner)["customer", "A-1"]["attributes"] == {"name": "another", "n": 1.5}


def test_another_spelling_of_the_same_content_is_unchanged(owner: Caller) -> None:
    run(owner, [b'{"id":"\\u0041","type":"order","attributes":{"b":1.50,"a":"\xc3\xa9"},"customFields":{}}'])
    job = run(owner, [b'{ "attributes": {"a":"\\u00e9", "b":1.50}, "type":"order", "id":"A" }'])
    assert outcomes_of(job) == ["unchanged"]
    job = run(owner, [b'{"id":"A","type":"order","attributes":{"a":"\xc3\xa9","b":1.5}}'])
    assert outcomes_of(job) == ["updated"]


def test_ids_are_one_in_either_normal_form(owner: Caller) -> None:
    run(owner, [record("caf\u00e9", attributes={})])
    job = run(owner, [record("cafe\u0301", attributes={})])
    assert outcomes_of(job) == ["updated"]
    assert Record.objects.count() == 1


def test_one_id_of_two_types_or_two_customers_is_two_records(owner: Caller, stranger: Caller) -> None:
    run(owner, [record("A", "customer"), record("A", "order")])
    job = run(stranger, [record("A", "customer")])
    assert outcomes_of(job) == ["created"]
    assert Record.objects.count() == 3


@pytest.mark.usefixtures("small_batches")
def test_the_last_of_one_id_wins_across_batches_in_any_order(owner: Caller) -> None:
    sent = [record("A", attributes={"n": number}) for number in range(25)]
    job = push(owner, sent)
    ImportBatch.objects.filter(job=job, sequence=2).update(sequence=99)
    work(batches=1)
    ImportBatch.objects.filter(job=job, sequence=99).update(sequence=2)
    work()
    assert outcomes_of(account_of(job)) == ["superseded"] * 24 + ["created"]
    assert stored_by(owner)["customer", "A"]["attributes"] == {"n": 24}


@pytest.mark.usefixtures("small_batches")
def test_an_older_job_never_overwrites_a_newer_one(owner: Caller) -> None:
    older = push(owner, records(10, attributes={"v": "older"}))
    newer = push(owner, records(10, attributes={"v": "newer"}))
    finish_first(newer, older)
    assert outcomes_of(account_of(newer)) == ["created"] * 10
    assert outcomes_of(account_of(older)) == ["superseded"] * 10
    assert {content["attributes"]["v"] for content in stored_by(owner).values()} == {"newer"}


@pytest.mark.usefixtures("small_batches")
def test_an_older_job_never_overwrites_a_newer_one_that_changed_nothing(owner: Caller) -> None:
    run(owner, records(10, attributes={"v": "first"}))
    older = push(owner, records(10, attributes={"v": "older"}))
    newer = push(owner, records(10, attributes={"v": "first"}))
    finish_first(newer, older)
    assert outcomes_of(account_of(newer)) == ["unchanged"] * 10
    assert outcomes_of(account_of(older)) == ["superseded"] * 10
    assert {content["attributes"]["v"] for content in stored_by(owner).values()} == {"first"}


def finish_first(newer: ImportJob, older: ImportJob) -> None:
    """The newer job's batches come before the older one's."""
    ImportJob.objects.filter(pk=older.pk).update(status="completed", processed=older.total, failed=older.total,
                                                 finished_at=older.created_at)  # fmt: skip
    work()
    ImportJob.objects.filter(pk=older.pk).update(status="pending", processed=0, failed=0, finished_at=None)
    work()


def test_a_failure_says_where_and_why_and_keeps_the_record(owner: Caller) -> None:
    job = run(owner, [record("A"), record("B", customFields={"a": 1, "b": "x" * 1025}), b'{"id":"C","type":"pear"}'])
    typed, untyped = FailedRecord.objects.filter(job=job).order_by("index")
    assert (typed.index, typed.code, typed.pointer) == (1, "custom_field_not_a_string", "/customFields/*")
    assert typed.type == "customer"
    assert typed.key is not None
    assert typed.state == FailedRecord.State.OPEN
    assert (untyped.type, untyped.key) == ("", None)
    assert Record.objects.count() == 1


def test_failures_of_one_kind_share_a_group(owner: Caller) -> None:
    run(owner, [record("A", customFields={"a": 1}), record("B", customFields={"b": 1}), record("C", extra=1)])
    first, second, third = FailedRecord.objects.order_by("index").values_list("group_key", flat=True)
    assert bytes(first) == bytes(second) != bytes(third)


def test_a_dry_run_counts_and_stores_nothing(owner: Caller) -> None:
    run(owner, [record("A"), record("B")])
    before = list(Record.objects.order_by("pk").values())
    job = run(owner, [record("A"), record("B", extra=1), record("C"), record("B", attributes={})], kind="dry_run")
    assert outcomes_of(job) == ["unchanged", "superseded", "created", "updated"]
    assert list(Record.objects.order_by("pk").values()) == before


def test_the_end_of_a_job_is_audited_once_with_its_counts(owner: Caller) -> None:
    job = run(owner, KINDS)
    event = AuditEvent.objects.get(action="import.completed")
    assert (event.target, event.record_count, event.customer_id) == (f"import:{job.uuid}", 6, owner.customer.pk)
    assert (event.source_ip, event.request_id, event.actor_id) == (SOURCE_IP, REQUEST_ID, "worker-1")
    assert event.detail == {
        "created": 3, "updated": 0, "unchanged": 0, "superseded": 1, "failed": 2, "unprocessed": 0
    }  # fmt: skip


@pytest.mark.usefixtures("small_batches")
def test_status_and_times_follow_the_batches(owner: Caller) -> None:
    job = push(owner, records(30))
    assert (account_of(job).status, account_of(job).started_at) == ("pending", None)
    work(batches=1)
    begun = account_of(job)
    assert (begun.status, begun.processed) == ("processing", 10)
    assert begun.started_at is not None
    work()
    ended = account_of(job)
    assert (ended.status, ended.started_at) == ("completed", begun.started_at)
    assert ended.revision > begun.revision > job.revision


@pytest.mark.usefixtures("small_batches")
def test_two_workers_on_the_same_keys_lose_and_lock_nothing(owner: Caller, stranger: Caller) -> None:
    for round_ in range(4):
        jobs = [
            push(
                caller,
                [record(f"A-{number % 60}", attributes={"v": f"{round_}-{turn}-{number}"}) for number in numbers],
            )
            for caller, turn, numbers in (
                (owner, 0, range(100)),
                (stranger, 0, range(100)),
                (owner, 1, range(99, -1, -1)),
                (owner, 2, range(0, 100, 3)),
            )
        ]
        in_threads(work, work, work)
        for job in jobs:
            assert account_of(job).status == "completed"
        latest = {content["id"]: content["attributes"]["v"] for content in stored_by(owner).values()}
        assert all(latest[f"A-{number % 60}"] == f"{round_}-2-{number}" for number in range(60, 100, 3))
    assert set(BatchAttempt.objects.values_list("end", flat=True)) == {attempts.DONE}
    assert verify_chain().first_bad is None


def test_a_batch_is_worked_on_once_however_many_ask(owner: Caller) -> None:
    job = push(owner, records(50))
    assert sorted(in_threads(*[work] * 6)) == [0, 0, 0, 0, 0, 1]
    assert account_of(job).created == 50


def test_an_error_leaves_nothing_behind_and_is_tried_again(owner: Caller, caplog: pytest.LogCaptureFixture) -> None:
    job = push(owner, [record("A"), bad_record()])
    with before_insert("imports_record", "IF nextval('test_inserts') <= 2 THEN RAISE EXCEPTION 'planted'; END IF"):
        assert work(batches=2) == 2
        half_way = account_of(job)
        assert (half_way.status, half_way.processed) == ("processing", 0)
        assert not Record.objects.exists()
        assert not FailedRecord.objects.exists()
        work()
    assert account_of(job).status == "completed"
    assert [attempt.end for attempt in BatchAttempt.objects.order_by("pk")] == [
        "ProgrammingError",
        "ProgrammingError",
        "done",
    ]
    logged = [entry for entry in caplog.records if entry.levelno >= logging.ERROR]
    assert len(logged) == 2
    assert all(str(job.pk) in entry.getMessage() for entry in logged)


@pytest.mark.usefixtures("small_batches")
def test_a_fault_of_the_server_fails_each_record_and_not_the_job(owner: Caller, stranger: Caller) -> None:
    job = push(owner, records(25))
    other = push(stranger, records(5))
    work(batches=2)  # one batch of each
    with before_insert("imports_record", FAULT):
        assert work() == 3 * (2 + 15)
    ended = account_of(job)
    assert (ended.status, ended.created, ended.failed) == ("completed", 10, 15)
    assert set(FailedRecord.objects.values_list("code", "category")) == {("internal_error", "permanent")}
    assert account_of(other).status == "completed"
    assert AuditEvent.objects.filter(action="import.completed", target=f"import:{job.uuid}").count() == 1
    assert run(owner, records(25)).created == 15


@pytest.mark.parametrize("table", ["imports_record", "imports_failedrecord"])
@pytest.mark.parametrize("sqlstate", ["40P01", "40001"])
def test_a_deadlock_is_no_failed_attempt(owner: Caller, table: str, sqlstate: str) -> None:
    job = push(owner, [record("A"), bad_record()])
    fault = f"""
        IF nextval('test_inserts') <= 5 THEN RAISE EXCEPTION 'planted' USING ERRCODE = '{sqlstate}'; END IF;
        IF currval('test_inserts') <= 7 THEN RAISE EXCEPTION 'planted'; END IF
    """
    with before_insert(table, fault):
        work()
    assert account_of(job).status == "completed"


def test_a_payload_that_was_tampered_with_is_never_stored(owner: Caller) -> None:
    job = push(owner, records(5))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE imports_importbatch SET payload = set_byte(payload, 60, get_byte(payload, 60) # 1)")
    assert work() == settling.MAX_ERRORS
    assert (account_of(job).status, account_of(job).unprocessed) == ("failed", 5)
    assert not Record.objects.exists()


def test_the_payload_of_another_batch_is_never_stored(owner: Caller) -> None:
    first, second = push(owner, records(5)), push(owner, records(5, prefix="B"))
    payload = ImportBatch.objects.get(job=second).payload
    ImportBatch.objects.filter(job=first).update(payload=payload)
    work()
    assert account_of(first).status == "failed"
    assert account_of(second).status == "completed"
    assert {external_id[0] for _, external_id in stored_by(owner)} == {"B"}


def test_a_stored_record_is_the_canonical_json_and_opens_in_its_place_only(owner: Caller) -> None:
    run(owner, [b'{"type":"order", "id":"A","attributes":{"b":1e400,"a":[1.50]},"customFields":{}}'])
    row = Record.objects.get()
    opened = stored_by(owner)["order", "A"]
    assert json.dumps(opened["attributes"]["a"]) == "[1.5]"
    assert len(bytes(row.key)) == 16
    assert len(bytes(row.fingerprint)) == 32
