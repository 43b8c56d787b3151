import hashlib
import itertools
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone

from audit.context import Actor, acting_as
from audit.models import AuditEvent
from imports import opening, parts, results, sweeper
from imports.claiming import claim
from imports.closing import close
from imports.ending import cancel
from imports.envelope import CSV, JSON, NDJSON
from imports.models import ImportBatch, ImportJob, ImportPart
from imports.opening import MAX_OPEN_JOBS, open_job
from imports.parts import Receipt, receive
from imports.refusal import Refusal
from imports.status import describe
from tests.imports.pipeline import (
    METADATA,
    Caller,
    account_of,
    bad_record,
    before_insert,
    calling,
    in_threads,
    outcomes_of,
    push,
    record,
    records,
    stored_by,
    stuck_before_insert,
    submission,
    work,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("small_batches")]


def begin(caller: Caller, *, key: str = "", **members: Any) -> ImportJob:
    body = json.dumps({"metadata": METADATA, **members}).encode()
    with calling(caller):
        return open_job(submission(caller, body, idempotency_key=key))


def part_of(sent: Sequence[Any]) -> bytes:
    return json.dumps({"records": sent}).encode()


def put(caller: Caller, job: ImportJob, number: int, sent: Sequence[Any] | bytes, **others: Any) -> Receipt:
    body = sent if isinstance(sent, bytes) else part_of(sent)
    with calling(caller):
        current = ImportJob.objects.get(pk=job.pk)
        return receive(submission(caller, body, **others), job=current, number=number, wire_bytes=len(body))


def finish(caller: Caller, job: ImportJob, **expected: int) -> ImportJob:
    with calling(caller):
        return close(job, **expected)


def refusal_of(code: str, act: Any) -> Refusal:
    with pytest.raises(Refusal) as refused:
        act()
    assert refused.value.code == code
    return refused.value


def actions_on(job: ImportJob) -> list[str]:
    return list(
        AuditEvent.objects.filter(target=f"import:{job.uuid}").order_by("sequence").values_list("action", flat=True)
    )


def indexes_of(job: ImportJob, selection: results.Selection) -> list[tuple[int, str | None]]:
    found = [line for batch in results.batches_of(job, selection) for line in results.lines(job, batch, selection)]
    return [(line["index"], line["record"]) for line in found]


def test_parts_become_one_job_in_the_order_of_their_numbers(owner: Caller) -> None:
    job = begin(owner)
    sent = {number: records(25, prefix=f"P{number}") for number in (1, 2, 3)}
    for number in (3, 1, 2):
        put(owner, job, number, sent[number])
    closed = finish(owner, job, expected_parts=3, expected_records=75)
    assert (closed.status, closed.total, closed.batch_count) == ("pending", 75, 9)
    work()
    job = account_of(job)
    assert (job.status, job.created) == ("completed", 75)
    in_order = [item["id"] for number in (1, 2, 3) for item in sent[number]]
    assert indexes_of(job, "succeeded") == list(enumerate(in_order))
    assert actions_on(job) == ["import.opened", "import.accepted", "import.completed"]


def test_nothing_is_processed_before_the_close(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 1, records(3))
    assert claim_any() is None
    assert work() == 0
    assert sweeper.sweep() == 0
    described = describe(ImportJob.objects.get(pk=job.pk), timezone.now())
    assert (described["status"], described["statusReason"]) == ("pending", "open")
    assert described["progress"] == {"total": 3, "processed": 0, "failed": 0}
    assert {"parts", "close"} <= set(described["links"])


def claim_any() -> ImportBatch | None:
    with transaction.atomic():
        return claim()


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


def test_a_part_that_cannot_be_stored_leaves_nothing(owner: Caller) -> None:
    job = begin(owner)
    with before_insert("imports_importbatch", "RAISE EXCEPTION 'no room'"), pytest.raises(DatabaseError):
        put(owner, job, 1, records(3))
    assert not ImportPart.objects.filter(job=job).exists()
    assert put(owner, job, 1, records(3)).is_new


def test_a_close_names_what_is_missing(owner: Caller) -> None:
    job = begin(owner, expectedRecords=9)
    refused = refusal_of("import_incomplete", lambda: finish(owner, job))
    assert [(where, what) for where, what, _ in refused.errors] == [
        ("/parts/1", "part_missing"),
        ("/records", "count_differs"),
    ]
    put(owner, job, 1, records(3))
    put(owner, job, 3, records(3, prefix="C"))
    refused = refusal_of("import_incomplete", lambda: finish(owner, job, expected_parts=2, expected_records=6))
    assert [(where, what) for where, what, _ in refused.errors] == [
        ("/parts/2", "part_missing"),
        ("/parts/3", "part_unexpected"),
    ]
    put(owner, job, 2, records(3, prefix="B"))
    assert finish(owner, job).total == 9


def test_closing_twice_is_closing_once(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 1, records(3))
    closed = in_threads(*[partial(finish, owner, job)] * 4)
    assert {item.total for item in closed} == {3}
    work()
    assert finish(owner, job).status == "completed"
    assert actions_on(job) == ["import.opened", "import.accepted", "import.completed"]


def test_a_part_after_the_close_is_refused(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 1, records(3))
    finish(owner, job)
    refusal_of("wrong_state", lambda: put(owner, job, 2, records(3)))
    refusal_of("wrong_state", lambda: put(owner, job, 1, records(3)))


def test_a_job_in_one_piece_takes_no_parts_and_cannot_be_closed(owner: Caller) -> None:
    job = push(owner, records(3))
    refusal_of("wrong_state", lambda: put(owner, job, 1, records(3)))
    refusal_of("wrong_state", lambda: finish(owner, job))


def test_a_part_under_way_when_the_job_is_closed_is_refused_whole(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 1, records(3))
    with stuck_before_insert("imports_importbatch") as stuck:

        def close_meanwhile() -> None:
            with stuck.released_after():
                finish(owner, job)

        late, _ = in_threads(partial(put, owner, job, 2, records(3, prefix="B")), close_meanwhile)
    assert isinstance(late, Refusal)
    assert late.code == "wrong_state"
    work()
    assert account_of(job).created == 3
    assert [part.number for part in parts.arrived(job)] == [1]


def test_a_close_waits_for_its_turn_among_five_running(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 1, records(3, prefix="P"))
    for number in range(5):
        push(owner, records(1, prefix=f"R{number}"))
    refusal_of("too_many_running_imports", lambda: finish(owner, job))
    assert ImportJob.objects.get(pk=job.pk).open_until is not None
    work()
    finish(owner, job)
    work()
    assert account_of(job).created == 3


def test_open_jobs_do_not_count_among_the_running(owner: Caller) -> None:
    for _ in range(6):
        begin(owner)
    for number in range(5):
        push(owner, records(1, prefix=f"R{number}"))
    refusal_of("too_many_running_imports", lambda: push(owner, records(1)))


def test_exactly_twenty_of_forty_parallel_openings_succeed(owner: Caller) -> None:
    outcomes = in_threads(*[partial(begin, owner)] * 40)
    assert sum(isinstance(outcome, ImportJob) for outcome in outcomes) == MAX_OPEN_JOBS
    assert {outcome.code for outcome in outcomes if isinstance(outcome, Refusal)} == {"too_many_open_imports"}
    assert ImportJob.objects.open().count() == MAX_OPEN_JOBS
    opened = ImportJob.objects.open().first()
    assert opened is not None
    with calling(owner):
        cancel(opened.pk)
    begin(owner)


def test_an_idempotency_key_opens_one_job(owner: Caller) -> None:
    jobs = in_threads(*[partial(begin, owner, key="night-1")] * 6)
    assert len({job.pk for job in jobs}) == 1
    refusal_of("idempotency_key_reused", lambda: begin(owner, key="night-1", expectedRecords=3))
    put(owner, jobs[0], 1, records(1))
    finish(owner, jobs[0])
    assert begin(owner, key="night-1").open_until is None


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"expectedRecords": 500_001}, "/expectedRecords"),
        ({"expectedRecords": 0}, "/expectedRecords"),
        ({"expectedRecords": "7"}, "/expectedRecords"),
        ({"records": []}, "/*"),
        ({"metadata": {"source": "crm"}}, "/metadata/version"),
    ],
)
def test_an_opening_of_another_form_is_refused(owner: Caller, members: dict[str, Any], pointer: str) -> None:
    refused = refusal_of("invalid_envelope", lambda: begin(owner, **members))
    assert refused.errors[0][0] == pointer


def test_a_cancelled_open_job_gives_its_records_back_in_order(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 2, [record("C"), record("D")])
    put(owner, job, 1, [record("A"), bad_record("B")])
    with calling(owner):
        cancel(job.pk)
    job = account_of(job)
    assert (job.status, job.status_reason, job.unprocessed, job.total) == ("failed", "cancelled", 4, 4)
    assert indexes_of(job, "unprocessed") == [(0, "A"), (1, "B"), (2, "C"), (3, "D")]
    assert actions_on(job) == ["import.opened", "import.cancelled", "import.failed"]
    refusal_of("wrong_state", lambda: put(owner, job, 3, records(1)))
    refusal_of("wrong_state", lambda: finish(owner, job))


def test_an_open_job_without_parts_can_be_cancelled(owner: Caller) -> None:
    job = begin(owner)
    with calling(owner):
        cancel(job.pk)
    assert account_of(job).total == 0


def test_an_open_job_expires_a_day_after_its_last_part(owner: Caller) -> None:
    job, empty = begin(owner), begin(owner)
    put(owner, job, 1, records(12))
    last = ImportJob.objects.get(pk=job.pk).open_until
    assert last is not None
    assert empty.open_until is not None
    with acting_as(Actor("system", "sweeper")):
        assert opening.expire(empty.open_until) == 1
        assert (account_of(empty).status_reason, account_of(empty).status) == ("expired", "failed")
        assert opening.expire(last) == 1
        assert opening.expire(last) == 0
    job = account_of(job)
    assert (job.status, job.status_reason, job.unprocessed) == ("failed", "expired", 12)
    assert actions_on(job) == ["import.opened", "import.expired", "import.failed"]


def test_the_sweeper_leaves_fresh_open_jobs_alone(owner: Caller) -> None:
    job = begin(owner)
    with acting_as(Actor("system", "sweeper")):
        sweeper.tidy()
    assert ImportJob.objects.get(pk=job.pk).open_until is not None


@pytest.mark.parametrize("order", list(itertools.permutations((0, 1, 2))))
def test_the_last_of_a_records_sightings_wins_in_any_order_of_the_workers(
    owner: Caller, order: tuple[int, int, int]
) -> None:
    job = begin(owner)
    for number in (1, 2, 3):
        sent = [record("same", attributes={"name": f"part {number} {place}"}) for place in ("first", "last")]
        put(owner, job, number, [*sent, record(f"own-{number}")])
    finish(owner, job)
    batches = list(ImportBatch.objects.filter(job=job).order_by("first_index"))
    assert len(batches) == 3
    for place in order:  # the others are out of sight, as if workers held them
        ImportBatch.objects.filter(job=job, state="pending").exclude(pk=batches[place].pk).update(state="dropped")
        assert work(batches=1) == 1
        ImportBatch.objects.filter(job=job, state="dropped").update(state="pending")
    job = account_of(job)
    assert job.status == "completed"
    assert stored_by(owner)["customer", "same"]["attributes"] == {"name": "part 3 last"}
    assert outcomes_of(job)[0::3] == ["superseded"] * 3
    assert job.total == 9


def test_what_a_later_job_wrote_stands_whenever_the_open_one_is_closed(owner: Caller) -> None:
    job = begin(owner)
    put(owner, job, 1, [record("same", attributes={"name": "opened first"})])
    push(owner, [record("same", attributes={"name": "accepted later"})])
    work()
    finish(owner, job)
    work()
    assert stored_by(owner)["customer", "same"]["attributes"] == {"name": "accepted later"}
    assert account_of(job).superseded == 1


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
