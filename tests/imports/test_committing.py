from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now

from audit.models import AuditEvent
from audit.trail import verify_chain
from customers.keyring import keyring
from customers.models import Customer
from imports import batching, committing, ending, intake, mapping_versions, sweeper
from imports.committing import committed_as
from imports.intake import payload_row
from imports.mapping.definition import Transform
from imports.models import ImportBatch, ImportJob
from imports.parts import digest_of
from imports.refusal import Refusal
from imports.status import describe
from tests.imports.dry_runs import changes_of, commit_of, digest_over, dry_run
from tests.imports.in_parts import actions_on, begin, finish, part_of, put, refusal_of
from tests.imports.mappings import field, mapping, publish
from tests.imports.pipeline import (
    Caller,
    account_of,
    acting_as_command,
    another_session,
    bad_record,
    calling,
    in_threads,
    outcomes_of,
    push,
    record,
    records,
    run,
    stored_by,
    stuck_before_insert,
    work,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("small_batches")]

SENT: list[Any] = [record("A", attributes={"n": 1}), *records(15), bad_record(), record("A", attributes={"n": 2.50})]


def packed_of(job: ImportJob) -> list[tuple[int, int, int, list[int], bytes]]:
    """The batches of a job, opened."""
    opener = keyring(job.customer_id).opener("imports_importbatch", "payload")
    return [
        (
            batch.sequence,
            batch.first_index,
            batch.record_count,
            batch.superseded,
            opener.open(bytes(batch.payload or b""), payload_row(job.uuid, batch.sequence)),
        )
        for batch in ImportBatch.objects.filter(job=job).order_by("sequence")
    ]


def test_a_commit_imports_exactly_what_the_dry_run_saw(owner: Caller) -> None:
    run(owner, records(4))
    checked = dry_run(owner, SENT, source_ip=None)
    job = commit_of(owner, checked)
    assert (job.kind, job.status, job.total, job.source) == ("import", "pending", len(SENT), "crm")
    assert packed_of(job) == packed_of(checked)
    assert not {bytes(batch.payload or b"") for batch in ImportBatch.objects.filter(job=job)} & {
        bytes(batch.payload or b"") for batch in ImportBatch.objects.filter(job=checked)
    }
    work()
    job, checked = account_of(job), account_of(checked)
    assert outcomes_of(job) == outcomes_of(checked)
    assert job.status == "completed"
    assert stored_by(owner)["customer", "A"]["attributes"] == {"n": 2.5}
    assert changes_of(checked) == []


def test_its_number_is_taken_at_the_commit(owner: Caller) -> None:
    """So the later push of the same record does not lose to it, and the earlier one does."""
    checked = dry_run(owner, [record("A", attributes={"n": "checked"})])
    between = run(owner, [record("A", attributes={"n": "pushed"})])
    job = commit_of(owner, checked)
    assert checked.pk < between.pk < job.pk
    work()
    assert stored_by(owner)["customer", "A"]["attributes"] == {"n": "checked"}


def test_it_runs_with_the_mappings_that_the_dry_run_ran_with(owner: Caller) -> None:
    """Also where a newer one is published in between: what was seen is what is stored."""
    publish(owner, mapping(field("attributes.name", transforms=(Transform("upper"),))))
    run(owner, [record("A", attributes={"name": "ada"})])
    checked = dry_run(owner, [record("A", attributes={"name": "ida"}), record("B", attributes={"nickname": "b"})])
    publish(owner, mapping(field("attributes.name", mandatory=False), unmapped="keep"))
    assert [line["changes"] for line in changes_of(checked)] == [
        [{"pointer": "/attributes/name", "before": "ADA", "after": "IDA"}]
    ]
    job = commit_of(owner, checked)
    assert job.mappings == checked.mappings == {"customer": 1}
    with acting_as_command():
        mapping_versions.archive(owner.customer, "customer")
    work()
    assert outcomes_of(account_of(job)) == ["updated", "failed"]
    assert stored_by(owner)["customer", "A"]["attributes"] == {"name": "IDA"}
    accepted = AuditEvent.objects.get(target=f"import:{job.uuid}", action="import.accepted")
    assert accepted.detail["mappings"] == ["customer/1"]


def test_both_ends_name_each_other(owner: Caller) -> None:
    checked = dry_run(owner, records(3))
    seen = describe(checked, checked.created_at)
    assert (seen["committedAs"], seen["dryRun"]) == (None, None)
    assert seen["digest"] is not None
    assert {"commit", "changes"} <= set(seen["links"])
    job = commit_of(owner, checked)
    assert describe(checked, checked.created_at)["committedAs"] == str(job.uuid)
    told = describe(job, job.created_at)
    assert (told["dryRun"], told["digest"], told["committedAs"]) == (str(checked.uuid), None, None)
    assert "commit" not in told["links"]


def test_a_dry_run_is_committed_once(owner: Caller, colleague: Caller) -> None:
    checked = dry_run(owner, records(25))
    first = commit_of(owner, checked)
    assert commit_of(colleague, checked).pk == first.pk
    work()
    assert commit_of(owner, checked).pk == first.pk
    assert ImportJob.objects.filter(kind="import").count() == 1
    other = run(owner, records(1))
    with pytest.raises(IntegrityError), transaction.atomic():
        ImportJob.objects.filter(pk=other.pk).update(dry_run=checked)


def test_parallel_commits_make_one_import(owner: Caller) -> None:
    checked = dry_run(owner, records(25))
    jobs = in_threads(*[partial(commit_of, owner, checked)] * 12)
    assert len({job.pk for job in jobs}) == 1
    assert ImportBatch.objects.filter(job=jobs[0]).count() == 3
    assert AuditEvent.objects.filter(action="dry_run.committed").count() == 1
    work()
    assert account_of(jobs[0]).created == 25


def test_who_waits_too_long_for_another_commit_is_told_to_come_again(
    owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "TURN_SECONDS", 0.1)
    checked = dry_run(owner, records(1))

    def second() -> Any:
        with stuck.released_after():
            return commit_of(owner, checked)

    with stuck_before_insert("imports_importbatch") as stuck:
        first, told = in_threads(partial(commit_of, owner, checked), catching(second))
    assert told.code == "idempotency_in_flight"
    assert told.retry_after == 1
    assert commit_of(owner, checked).pk == first.pk


def catching(act: Callable[[], Any]) -> Callable[[], Any]:
    def caught() -> Any:
        try:
            return act()
        except Refusal as refusal:
            return refusal

    return caught


def test_it_counts_among_the_running_imports(owner: Caller) -> None:
    checked = dry_run(owner, records(3))
    Customer.objects.filter(pk=owner.customer.pk).update(max_concurrent_imports=1)
    push(owner, records(1))
    told = refusal_of("too_many_running_imports", lambda: commit_of(owner, checked))
    assert told.retry_after
    work()
    job = commit_of(owner, checked)
    refusal_of("too_many_running_imports", lambda: push(owner, records(1)))
    assert commit_of(owner, checked).pk == job.pk


def test_parallel_commits_do_not_pass_the_limit_together(owner: Caller) -> None:
    Customer.objects.filter(pk=owner.customer.pk).update(max_concurrent_imports=2)
    checked = [dry_run(owner, records(1, f"P{number}")) for number in range(6)]
    answers = in_threads(*[catching(partial(commit_of, owner, job)) for job in checked])
    assert sum(isinstance(answer, ImportJob) for answer in answers) == 2
    assert ImportJob.objects.filter(kind="import").count() == 2
    assert ImportBatch.objects.exclude(job__kind="dry_run").count() == 2


def test_another_digest_is_refused(owner: Caller) -> None:
    checked = dry_run(owner, records(3))
    refusal_of("digest_differs", lambda: commit_of(owner, checked, b"x" * 32))
    job = commit_of(owner, checked)
    refusal_of("digest_differs", lambda: commit_of(owner, checked, b"x" * 32))
    assert ImportJob.objects.exclude(kind="dry_run").get() == job


def test_only_a_completed_dry_run_is_committed(owner: Caller) -> None:
    unfinished = push(owner, records(3), kind="dry_run")
    refusal_of("wrong_state", lambda: commit_of(owner, unfinished))
    with calling(owner):
        ending.cancel(unfinished.pk)
    refusal_of("wrong_state", lambda: commit_of(owner, unfinished))
    imported = run(owner, records(3))
    refusal_of("wrong_state", lambda: commit_of(owner, imported))
    assert not ImportJob.objects.filter(dry_run__isnull=False).exists()


def test_what_has_expired_is_not_committed(owner: Caller) -> None:
    checked = dry_run(owner, records(15))
    first = ImportBatch.objects.filter(job=checked).order_by("sequence")[0]
    ImportBatch.objects.filter(pk=first.pk).update(payload=None)
    refusal_of("results_expired", lambda: commit_of(owner, checked))
    assert not ImportJob.objects.filter(kind="import").exists()
    assert committed_as(checked) is None


def test_a_dry_run_past_its_retention_is_expired_also_where_it_was_committed(owner: Caller) -> None:
    checked = dry_run(owner, records(3))
    commit_of(owner, checked)
    ImportJob.objects.filter(pk=checked.pk).update(expires_at=Now())
    refusal_of("results_expired", lambda: commit_of(owner, checked))


def test_its_number_is_taken_with_the_customer_s_row_locked(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes the newest number under that lock knows that what comes later has a higher one."""
    checked = dry_run(owner, records(25))
    numbers_before: list[int] = []

    def looking(customer_id: int, kind: str) -> None:
        plain(customer_id, kind)
        numbers_before.append(last_number())

    def last_number() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT last_value FROM imports_importjob_id_seq")
            return int(cursor.fetchone()[0])

    plain = intake.refuse_beyond_limit
    monkeypatch.setattr(intake, "refuse_beyond_limit", looking)
    job = commit_of(owner, checked)
    assert numbers_before == [checked.pk]
    assert job.pk > checked.pk
    assert ImportBatch.objects.filter(job_id__lt=0).count() == 0


def test_what_is_rewritten_while_it_is_copied_is_copied_again(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody may have removed a person from it: then the copy must not keep that person."""
    checked = dry_run(owner, records(25))
    plain = intake.refuse_beyond_limit

    def rewriting(customer_id: int, kind: str) -> None:
        plain(customer_id, kind)
        rewrite(checked, 1, [b"", *batching.unpack(packed_of(checked)[1][-1])[1:]])

    monkeypatch.setattr(intake, "refuse_beyond_limit", rewriting)
    told = refusal_of("idempotency_in_flight", lambda: commit_of(owner, checked))
    assert told.retry_after == 1
    assert not ImportJob.objects.filter(kind="import").exists()
    assert ImportBatch.objects.count() == 3
    monkeypatch.undo()
    rewrite(checked, 1, [b"{}", *batching.unpack(packed_of(checked)[1][-1])[1:]])
    assert packed_of(commit_of(owner, checked)) == packed_of(checked)


def rewrite(job: ImportJob, sequence: int, raws: list[bytes]) -> None:
    sealer = keyring(job.customer_id).sealer("imports_importbatch", "payload")
    payload = sealer.seal(batching.pack(raws), payload_row(job.uuid, sequence))
    ImportBatch.objects.filter(job=job, sequence=sequence).update(payload=payload)


def test_what_is_committed_is_not_rewritten_before_the_commit_is_seen(owner: Caller) -> None:
    """Whoever removes a person skips what somebody holds, waits, and then finds the import too."""
    checked = dry_run(owner, records(25))

    def look() -> int:
        with stuck.released_after(), another_session() as session:
            found = session.execute(
                "SELECT id FROM imports_importbatch WHERE job_id = %s FOR NO KEY UPDATE SKIP LOCKED", [checked.pk]
            ).fetchall()
            return len(found)

    with stuck_before_insert("imports_importjob") as stuck:
        job, free = in_threads(partial(commit_of, owner, checked), look)
    assert (job.total, free) == (25, 0)


def test_a_dry_run_in_parts_is_compared_and_committed(owner: Caller) -> None:
    run(owner, [record("P1-0", attributes={"n": 1})])
    checked = begin(owner, dryRun=True)
    bodies = [part_of(records(25, prefix=f"P{number}")) for number in (1, 2, 3)]
    for number in (3, 1, 2):
        put(owner, checked, number, bodies[number - 1])
    assert describe(ImportJob.objects.get(pk=checked.pk), checked.created_at)["digest"] is None
    finish(owner, checked, expected_parts=3)
    work()
    checked = account_of(checked)
    assert (checked.kind, checked.status, checked.created, checked.updated) == ("dry_run", "completed", 74, 1)
    assert [line["index"] for line in changes_of(checked)] == list(range(75))
    assert digest_of(checked) == digest_over(*bodies)
    assert actions_on(checked) == ["dry_run.opened", "dry_run.accepted", "dry_run.completed"]
    job = commit_of(owner, checked)
    assert packed_of(job) == packed_of(checked)
    work()
    job = account_of(job)
    assert (job.status, job.created, job.updated) == ("completed", 74, 1)
    assert digest_of(job) == digest_of(checked)
    assert actions_on(job) == ["import.accepted", "import.completed"]
    assert actions_on(checked)[-1] == "dry_run.committed"


def test_an_open_dry_run_does_not_count_among_the_running_imports(owner: Caller) -> None:
    Customer.objects.filter(pk=owner.customer.pk).update(max_concurrent_imports=1)
    push(owner, records(1))
    checked = begin(owner, dryRun=True)
    put(owner, checked, 1, records(1))
    assert finish(owner, checked).kind == "dry_run"


def test_one_idempotency_key_opens_a_dry_run_and_an_import(owner: Caller) -> None:
    checked, job = begin(owner, key="k", dryRun=True), begin(owner, key="k")
    assert checked.pk != job.pk
    assert begin(owner, key="k", dryRun=True).pk == checked.pk
    refusal_of("idempotency_key_reused", lambda: begin(owner, key="k", dryRun=True, expectedRecords=4))


def test_commits_are_audited_on_both_sides(owner: Caller) -> None:
    checked = dry_run(owner, records(12))
    job = commit_of(owner, checked)
    committed = AuditEvent.objects.get(action="dry_run.committed")
    assert (committed.target, committed.actor_id) == (f"import:{checked.uuid}", owner.key.key_id)
    assert (committed.record_count, committed.detail) == (12, {"import": str(job.uuid)})
    accepted = AuditEvent.objects.get(action="import.accepted")
    assert accepted.detail == {"batches": 2, "dry_run": str(checked.uuid)}
    assert verify_chain().first_bad is None


def test_the_retry_policy_is_the_caller_s_or_the_dry_run_s(owner: Caller) -> None:
    checked = dry_run(owner, records(1), parameters={"retryTries": "7", "retryBaseSeconds": "9"})
    job = commit_of(owner, checked, parameters={"retryTries": "2"})
    assert (job.retry_tries, job.retry_base_seconds) == (2, 9)
    refusal_of(
        "invalid_parameter", lambda: commit_of(owner, dry_run(owner, records(1)), parameters={"retryTries": "x"})
    )


def test_a_commit_is_copied_in_portions(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = dry_run(owner, records(95))
    portions: list[int] = []
    plain = committing._portions

    def counting(job: ImportJob) -> Any:
        for portion in plain(job):
            portions.append(len(portion))
            yield portion

    monkeypatch.setattr(committing, "_portions", counting)
    monkeypatch.setattr(committing, "_HELD_BATCHES", 4)
    job = commit_of(owner, checked)
    assert portions == [4, 4, 2]
    assert packed_of(job) == packed_of(checked)
    monkeypatch.setattr(committing, "HELD_BYTES", 1)
    portions.clear()
    commit_of(owner, dry_run(owner, records(25)))
    assert portions == [1, 1, 1]


def test_a_lost_ring_is_rung_again(owner: Caller, dead_valkey: None) -> None:
    checked = dry_run(owner, records(3))
    job = commit_of(owner, checked)
    assert job.status == "pending"
    assert sweeper.sweep() == 0
    work()
    assert account_of(job).created == 3
