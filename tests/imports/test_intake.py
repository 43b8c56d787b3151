import json
from collections import Counter
from datetime import timedelta
from threading import Timer
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from audit.models import AuditEvent
from customers.keyring import keyring
from customers.models import Customer
from imports import batching, doorbell, intake
from imports.envelope import CSV, NDJSON
from imports.intake import payload_row
from imports.models import ImportBatch, ImportJob
from imports.refusal import Refusal
from tests.imports.pipeline import (
    METADATA,
    REQUEST_ID,
    SOURCE_IP,
    Caller,
    account_of,
    bad_record,
    body_of,
    in_threads,
    push,
    record,
    records,
    run,
    stuck_before_insert,
    work,
)

pytestmark = pytest.mark.django_db(transaction=True)


def refusal_of(caller: Caller, sent: Any, **others: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        push(caller, sent, **others)
    return caught.value


@pytest.mark.usefixtures("small_batches", "empty_queue")
def test_a_body_becomes_a_job_with_its_batches_an_event_and_a_ring(owner: Caller) -> None:
    job = push(owner, records(25))
    stored = ImportJob.objects.get()
    assert (stored.pk, stored.status, stored.total, stored.batch_count) == (job.pk, "pending", 25, 3)
    assert (stored.source, stored.request_id, stored.source_ip) == ("crm", REQUEST_ID, SOURCE_IP)
    assert stored.hmac_key == owner.key.key
    assert stored.expires_at - stored.created_at == timedelta(days=owner.customer.retention_days)
    account_of(job)
    event = AuditEvent.objects.get(target=f"import:{job.uuid}")
    assert (event.action, event.record_count, event.detail) == ("import.accepted", 25, {"batches": 3})
    assert (event.customer_id, event.actor_kind, event.actor_id) == (owner.customer.pk, "key", owner.key.key_id)
    assert (event.source_ip, event.request_id) == (SOURCE_IP, REQUEST_ID)
    assert doorbell.waiting() == 2  # as many as there are workers


@pytest.mark.usefixtures("small_batches")
def test_the_batches_hold_the_records_to_the_byte(owner: Caller) -> None:
    sent = [json.dumps(item, indent=2).encode() for item in records(15)]
    job = push(owner, sent)
    opener = keyring(owner.customer.pk).opener("imports_importbatch", "payload")
    kept = [
        bytes(raw)
        for batch in ImportBatch.objects.filter(job=job).order_by("sequence")
        for raw in batching.unpack(opener.open(bytes(batch.payload or b""), payload_row(job.uuid, batch.sequence)))
    ]
    assert kept == sent
    metadata = keyring(owner.customer.pk).opener("imports_importjob", "metadata")
    assert json.loads(metadata.open(bytes(job.metadata or b""), job.uuid.bytes)) == METADATA


@pytest.mark.usefixtures("empty_queue")
@pytest.mark.parametrize("fault", ["record", "copy_rows", "refuse_beyond_limit"])
def test_nothing_is_left_of_an_acceptance_that_did_not_commit(
    owner: Caller, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def die(*_: object, **__: object) -> None:
        raise SystemExit

    monkeypatch.setattr(intake, fault, die)
    with pytest.raises(SystemExit):
        push(owner, records(3), idempotency_key="k")
    assert not ImportJob.objects.exists()
    assert not ImportBatch.objects.exists()
    assert not AuditEvent.objects.filter(action="import.accepted").exists()
    assert doorbell.waiting() == 0
    monkeypatch.undo()
    assert push(owner, records(3), idempotency_key="k").total == 3


def test_a_refused_body_leaves_nothing_behind(owner: Caller) -> None:
    assert refusal_of(owner, b"{}").code == "invalid_envelope"
    assert refusal_of(owner, b"{").code == "malformed_json"
    assert not ImportJob.objects.exists()


def test_every_media_type_comes_in_by_the_same_way(owner: Caller) -> None:
    ndjson = b'{"metadata":' + json.dumps(METADATA).encode() + b'}\n{"id":"A","type":"order","attributes":{}}\nbroken'
    job = run(owner, ndjson, media_type=NDJSON)
    assert (job.created, job.failed) == (1, 1)
    job = run(owner, b"id,a\nA,1\nB,2\n,3\n,4\n", media_type=CSV, parameters={**METADATA, "type": "order"})
    assert (job.updated, job.created, job.failed) == (1, 1, 2)


def test_the_same_key_and_body_give_the_same_job(owner: Caller, colleague: Caller) -> None:
    job = push(owner, records(3), idempotency_key="k")
    assert push(owner, records(3), idempotency_key="k") == job
    assert push(colleague, records(3), idempotency_key="k") == job
    work()
    assert push(owner, records(3), idempotency_key="k") == job
    assert AuditEvent.objects.filter(action="import.accepted").count() == 1


def test_the_same_key_with_another_body_is_refused(owner: Caller) -> None:
    push(owner, records(3), idempotency_key="k")
    assert refusal_of(owner, records(4), idempotency_key="k").code == "idempotency_key_reused"
    assert ImportJob.objects.count() == 1


def test_another_key_no_key_or_another_customer_give_another_job(owner: Caller, stranger: Caller) -> None:
    jobs = {
        push(owner, records(3), idempotency_key="k"),
        push(owner, records(3), idempotency_key="K"),
        push(owner, records(3)),
        push(owner, records(3)),
        push(stranger, records(3), idempotency_key="k"),
    }
    assert len(jobs) == 5


def test_a_dry_run_under_the_same_key_is_not_taken_for_the_import(owner: Caller) -> None:
    rehearsed = push(owner, records(3), idempotency_key="k", kind="dry_run")
    job = push(owner, records(3), idempotency_key="k")
    assert job != rehearsed
    assert job.kind == ImportJob.Kind.IMPORT
    assert push(owner, records(3), idempotency_key="k", kind="dry_run") == rehearsed


def test_a_key_is_free_again_after_24_hours(owner: Caller) -> None:
    job = push(owner, records(3), idempotency_key="k")
    now = timezone.now()
    ImportJob.objects.update(created_at=now - timedelta(hours=23, minutes=59))
    assert push(owner, records(3), idempotency_key="k") == job
    ImportJob.objects.update(created_at=now - timedelta(hours=24, seconds=1))
    later = push(owner, records(4), idempotency_key="k")
    assert later != job
    assert push(owner, records(4), idempotency_key="k") == later


def test_a_repeated_request_is_answered_at_the_limit_too(owner: Caller) -> None:
    jobs = [push(owner, records(1), idempotency_key=f"k{number}") for number in range(5)]
    assert push(owner, records(1), idempotency_key="k0") == jobs[0]
    assert refusal_of(owner, records(1), idempotency_key="new").code == "too_many_running_imports"


def test_ten_equal_requests_at_once_make_one_job(owner: Caller) -> None:
    answers = in_threads(*[lambda: push(owner, records(3), idempotency_key="k")] * 10)
    assert answers == [ImportJob.objects.get()] * 10


def test_a_request_waits_for_its_twin(owner: Caller) -> None:
    def second() -> ImportJob:
        stuck.wait()
        release = Timer(0.2, stuck.release)  # by then the second waits for the first
        release.start()
        try:
            return push(owner, records(3), idempotency_key="k")
        finally:
            release.join()

    with stuck_before_insert("imports_importjob") as stuck:
        answers = in_threads(lambda: push(owner, records(3), idempotency_key="k"), second)
    assert answers == [ImportJob.objects.get()] * 2


def test_a_request_whose_twin_takes_too_long_is_in_flight(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "TURN_SECONDS", 0.2)

    def second() -> Refusal:
        with stuck.released_after():
            return refusal_of(owner, records(3), idempotency_key="k")

    with stuck_before_insert("imports_importjob") as stuck:
        job, refusal = in_threads(lambda: push(owner, records(3), idempotency_key="k"), second)
    assert (refusal.code, refusal.retry_after) == ("idempotency_in_flight", 1)
    assert push(owner, records(3), idempotency_key="k") == job


def test_exactly_five_of_thirty_at_once_are_accepted(owner: Caller, stranger: Caller) -> None:
    answers = in_threads(*[lambda: push(owner, records(2))] * 30, lambda: push(stranger, records(2)))
    kinds = Counter(answer.code if isinstance(answer, Refusal) else type(answer).__name__ for answer in answers)
    assert kinds == {"ImportJob": 6, "too_many_running_imports": 25}
    assert {answer.retry_after for answer in answers if isinstance(answer, Refusal)} == {intake.RETRY_AFTER_SECONDS}
    assert ImportJob.objects.filter(customer=owner.customer).count() == 5


def test_the_limit_is_the_customer_s_own_and_counts_unfinished_imports_only(owner: Caller) -> None:
    Customer.objects.filter(pk=owner.customer.pk).update(max_concurrent_imports=2)
    for _ in range(3):
        push(owner, records(1), kind="dry_run")
    push(owner, records(1))
    push(owner, records(1))
    assert refusal_of(owner, records(1)).code == "too_many_running_imports"
    assert push(owner, records(1), kind="dry_run").kind == "dry_run"
    work()
    assert push(owner, records(1)).kind == "import"


def test_dry_runs_are_audited_as_what_they_are(owner: Caller) -> None:
    job = run(owner, records(2), kind="dry_run")
    actions = AuditEvent.objects.filter(target=f"import:{job.uuid}").order_by("sequence")
    assert [event.action for event in actions] == ["dry_run.accepted", "dry_run.completed"]


def test_job_numbers_of_a_customer_follow_the_order_of_acceptance(owner: Caller) -> None:
    """The number is a record's origin: a job seen by anyone has a smaller one than any accepted later."""
    jobs = in_threads(*[lambda: push(owner, records(1))] * 5)
    events = AuditEvent.objects.filter(action="import.accepted").order_by("sequence")
    by_uuid = {f"import:{job.uuid}": job.pk for job in jobs}
    numbers = [by_uuid[event.target] for event in events]
    assert numbers == sorted(numbers)


def test_a_dead_valkey_delays_no_acceptance(owner: Caller, dead_valkey: None) -> None:
    assert push(owner, records(1)).status == "pending"
    assert work() == 1


CANARIES = (
    "canary-name",
    "canary-id",
    "canary@example.org",
    "canary-field",
    "canary-value",
    "canary-note",
    "canary-key",
)


def test_no_column_of_any_table_holds_what_was_sent(owner: Caller) -> None:
    sent = [
        record("canary-id-1", attributes={"canary-name": "canary@example.org"}, customFields={"canary-field": "x"}),
        bad_record("canary-id-2") | {"canary-field": "canary-value"},
        b'{"id":"canary-id-3",',
        b'{"id":"canary-id-4","type":"order","attributes":{"canary-name":"canary-value\\u0000"}}',
    ]  # fmt: skip
    body = body_of([item for item in sent if item != sent[2]]).replace(b'"crm"', b'"crm","canary-note":"canary-value"')
    push(owner, body, idempotency_key="canary-key")
    work(batches=0)
    assert found_in_tables(CANARIES) == []
    work()
    run(owner, body)
    run(owner, body, kind="dry_run")
    assert ImportJob.objects.filter(failed=2).count() == 3
    assert found_in_tables(CANARIES) == []
    assert found_in_tables(("crm",)) == ["imports_importjob"]  # the source, which the list of jobs shows


def found_in_tables(needles: tuple[str, ...]) -> list[str]:
    """The tables of which any column holds a needle, as text or as bytes."""
    spelled = [needle.encode() for needle in needles] + [needle.encode().hex().encode() for needle in needles]
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            with cursor.copy(f'COPY "{table}" TO STDOUT') as copy:
                dump = b"".join(bytes(part) for part in copy)
            if any(needle in dump for needle in spelled):
                found.append(table)
    return found
