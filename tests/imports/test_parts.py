"""Parts as they arrive: in any order, twice, at once, too many."""

import hashlib
import json
from functools import partial

import pytest
from django.db import DatabaseError
from pytest_django import Settings

from imports import parts
from imports.envelope import CSV, JSON, NDJSON
from imports.models import ImportBatch, ImportJob, ImportPart
from imports.refusal import Refusal
from tests.imports.in_parts import begin, finish, part_of, put, refusal_of
from tests.imports.pipeline import (
    Caller,
    account_of,
    before_insert,
    in_threads,
    outcomes_of,
    record,
    records,
    stored_by,
    work,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("small_batches")]


def test_the_same_part_again_is_stored_once(owner: Caller) -> None:
    job = begin(owner)
    first = put(owner, job, 1, records(12))
    again = put(owner, job, 1, records(12))
    assert first.is_new
    assert not again.is_new
    assert (again.record_count, again.wire_bytes, again.total_records) == (12, first.wire_bytes, 12)
    assert ImportBatch.objects.filter(job=job).count() == 2


def test_parallel_puts_of_one_part_store_it_once(owner: Caller) -> None:
    job = begin(owner)
    receipts = in_threads(*[partial(put, owner, job, 1, records(30))] * 8)
    assert sorted(receipt.is_new for receipt in receipts) == [False] * 7 + [True]
    assert {receipt.total_records for receipt in receipts} == {30}
    assert ImportBatch.objects.filter(job=job).count() == 3
    finish(owner, job)
    work()
    assert account_of(job).created == 30


def test_parallel_parts_are_all_counted(owner: Caller) -> None:
    job = begin(owner)
    in_threads(*[partial(put, owner, job, number, records(11, prefix=f"P{number}")) for number in range(1, 9)])
    assert finish(owner, job, expected_parts=8, expected_records=88).batch_count == 16
    work()
    assert account_of(job).created == 88


def test_another_body_under_the_same_number_is_a_conflict(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 1, records(2))
    refusal_of("part_conflict", lambda: put(owner, job, 1, records(3)))
    assert ImportJob.objects.get(pk=job.pk).total == 2


def test_the_same_csv_for_another_type_is_a_conflict(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 1, b"id,name\nA,a\n", media_type=CSV, parameters={"type": "customer"})
    act = partial(put, owner, job, 1, b"id,name\nA,a\n", media_type=CSV, parameters={"type": "order"})
    refusal_of("part_conflict", act)


def test_a_part_comes_in_each_of_the_three_forms(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 1, [record("J")])
    put(owner, job, 2, json.dumps(record("N")).encode() + b"\n", media_type=NDJSON)
    put(owner, job, 3, b"id,name\nC,c\n", media_type=CSV, parameters={"type": "customer"})
    finish(owner, job)
    work()
    assert [external_id for _, external_id in sorted(stored_by(owner))] == ["C", "J", "N"]


@pytest.mark.parametrize(
    ("body", "media_type", "pointer", "code"),
    [
        (b'{"metadata":{},"records":[1]}', JSON, "/*", "unknown_member"),
        (b'{"records":[],"records":[1]}', JSON, "/records", "duplicate_member"),
        (b'{"records":[]}', JSON, "/records", "records_empty"),
        (b"{}", JSON, "/records", "missing_member"),
        (b'{"metadata":{}}\n{}', NDJSON, "/metadata", "unknown_member"),
        (b"\n \n", NDJSON, "/records", "records_empty"),
    ],
)
def test_a_part_of_another_form_is_refused(
    owner: Caller, body: bytes, media_type: str, pointer: str, code: str
) -> None:
    job = begin(owner)
    refused = refusal_of("invalid_envelope", lambda: put(owner, job, 1, body, media_type=media_type))
    assert [(where, what) for where, what, _ in refused.errors] == [(pointer, code)]
    assert put(owner, job, 1, records(1)).is_new


def test_a_record_with_half_a_surrogate_pair_fails_alone(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 1, b'{"records": [' + json.dumps(record("A")).encode() + rb', {"id":"\ud800"}]}')
    finish(owner, job)
    work()
    assert outcomes_of(account_of(job)) == ["created", "failed"]


@pytest.mark.parametrize("number", [0, -1, 10_001])
def test_a_part_has_a_number_from_1_to_10_000(owner: Caller, number: int) -> None:
    job = begin(owner)
    refusal_of("invalid_parameter", lambda: put(owner, job, number, records(1)))


def test_the_last_possible_part_keeps_its_batches_in_order(owner: Caller) -> None:
    job = begin(owner)
    for number in range(1, 3):
        put(owner, job, number, records(1, prefix=f"P{number}"))
    put(owner, job, parts.MAX_PARTS, records(11, prefix="Z"))
    assert max(ImportBatch.objects.filter(job=job).values_list("sequence", flat=True)) == 9999 * 100_000 + 1


def test_more_records_than_a_job_may_have_leave_it_open(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MAX_RECORDS", 20)
    job = begin(owner)
    put(owner, job, 1, records(15))
    refusal_of("too_many_records", lambda: put(owner, job, 2, records(6, prefix="B")))
    assert put(owner, job, 2, records(5, prefix="B")).total_records == 20


def test_parallel_parts_never_pass_the_limit_together(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MAX_RECORDS", 25)
    job = begin(owner)
    outcomes = in_threads(*[partial(put, owner, job, number, records(10, prefix=f"P{number}")) for number in (1, 2, 3)])
    assert sorted(isinstance(outcome, Refusal) for outcome in outcomes) == [False, False, True]
    assert ImportJob.objects.get(pk=job.pk).total == 20
    assert ImportPart.objects.filter(job=job).count() == 2


def test_a_part_beyond_the_bytes_of_a_job_is_refused_and_leaves_it_open(owner: Caller, settings: Settings) -> None:
    """Bytes count unpacked, so that nobody's packer decides how much may come."""
    settings.IMPORT_MAX_MB = 1
    job = begin(owner)
    put(owner, job, 1, sized(600_000, "A"))
    refused = refusal_of("too_many_bytes", lambda: put(owner, job, 2, sized(500_000, "B")))
    assert "600,000 bytes" in refused.detail
    assert ImportPart.objects.filter(job=job).count() == 1
    put(owner, job, 2, sized(2**20 - 600_000, "B"))
    refusal_of("too_many_bytes", lambda: put(owner, job, 3, sized(200, "C")))
    assert not put(owner, job, 1, sized(600_000, "A")).is_new
    assert finish(owner, job).received_bytes == 2**20


def sized(size: int, external_id: str) -> bytes:
    """A part of exactly that many bytes."""
    body = part_of([record(external_id, attributes={"text": ""})])
    return body.replace(b'""', b'"' + b"x" * (size - len(body)) + b'"')


def test_parallel_parts_never_pass_the_bytes_together(owner: Caller, settings: Settings) -> None:
    settings.IMPORT_MAX_MB = 1
    job = begin(owner)
    puts = [partial(put, owner, job, number, sized(400_000, f"A-{number}")) for number in (1, 2, 3)]
    outcomes = in_threads(*puts)
    assert sorted(getattr(outcome, "code", "") for outcome in outcomes) == ["", "", "too_many_bytes"]
    assert ImportJob.objects.get(pk=job.pk).received_bytes == 800_000


def test_a_part_that_cannot_be_stored_leaves_nothing(owner: Caller) -> None:
    job = begin(owner)
    with before_insert("imports_importbatch", "RAISE EXCEPTION 'no room'"), pytest.raises(DatabaseError):
        put(owner, job, 1, records(3))
    assert not ImportPart.objects.filter(job=job).exists()
    assert put(owner, job, 1, records(3)).is_new


def test_the_list_of_parts_tells_what_has_arrived(owner: Caller) -> None:
    job = begin(owner)
    bodies = {2: part_of(records(2)), 1: part_of(records(1, prefix="B"))}
    for number, body in bodies.items():
        put(owner, job, number, body)
    assert [(part.number, part.record_count, bytes(part.body_digest)) for part in parts.arrived(job)] == [
        (number, number, hashlib.sha256(bodies[number]).digest()) for number in (1, 2)
    ]


def test_parts_are_bound_to_their_job(owner: Caller) -> None:
    job, other = begin(owner), begin(owner)
    put(owner, job, 1, records(1))
    put(owner, other, 1, records(1, prefix="B"))
    stolen = ImportBatch.objects.get(job=job)
    ImportBatch.objects.filter(job=other).update(payload=stolen.payload)
    finish(owner, other)
    work()
    assert account_of(other).status_reason == "internal_error"
    assert stored_by(owner) == {}
