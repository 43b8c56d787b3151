from functools import partial

import pytest
from django.db import transaction

from audit.context import Actor, acting_as
from audit.models import AuditEvent
from audit.trail import audited
from imports.claiming import claim
from imports.ending import cancel, finish_cancelled, give_up
from imports.models import ImportBatch, ImportJob
from imports.processing import process
from imports.refusal import Refusal
from tests.imports.pipeline import (
    REQUEST_ID,
    SOURCE_IP,
    Caller,
    account_of,
    bad_record,
    calling,
    in_threads,
    outcomes_of,
    push,
    records,
    run,
    stored_by,
    stuck_before_insert,
    work,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("small_batches")]


def cancel_as(caller: Caller, job: ImportJob) -> ImportJob:
    with calling(caller):
        return cancel(job.pk)


def actions_on(job: ImportJob) -> list[str]:
    events = AuditEvent.objects.filter(target=f"import:{job.uuid}").order_by("sequence")
    return list(events.values_list("action", flat=True))


def test_a_job_cancelled_before_it_began_ends_at_once(owner: Caller) -> None:
    job = push(owner, records(25))
    assert cancel_as(owner, job).status == "failed"
    ended = account_of(job)
    assert (ended.status_reason, ended.unprocessed, ended.processed) == ("cancelled", 25, 0)
    assert outcomes_of(job) == ["unprocessed"] * 25
    assert work() == 0
    assert stored_by(owner) == {}


def test_a_cancelled_job_keeps_what_is_done(owner: Caller) -> None:
    job = push(owner, [bad_record(), *records(24)])
    work(batches=2)
    cancel_as(owner, job)
    ended = account_of(job)
    assert (ended.status, ended.created, ended.failed, ended.unprocessed) == ("failed", 19, 1, 5)
    assert len(stored_by(owner)) == 19


def test_a_batch_under_way_is_finished_and_ends_the_cancelled_job(owner: Caller) -> None:
    job = push(owner, records(25))

    def cancel_meanwhile() -> str:
        with stuck.released_after():
            return cancel_as(owner, job).status

    with stuck_before_insert("imports_record") as stuck:
        worked, status = in_threads(work, cancel_meanwhile)
    assert (worked, status) == (1, "processing")
    ended = account_of(job)
    assert (ended.status, ended.created, ended.unprocessed) == ("failed", 10, 15)
    assert actions_on(job) == ["import.accepted", "import.cancelled", "import.failed"]


def test_cancel_and_the_last_commit_may_meet_in_either_order(owner: Caller) -> None:
    """The worker waits for the job's row that cancel holds, and cancel never waits for the batch that it holds."""
    for _ in range(10):
        job = push(owner, records(20))
        in_threads(work, partial(cancel_as, owner, job), work)
        with acting_as(Actor("system", "sweeper")):
            finish_cancelled()  # where cancel came just before a claim, the batch was neither dropped nor done
        ended = account_of(job)
        assert ended.is_finished


def test_a_job_that_has_ended_is_not_cancelled(owner: Caller) -> None:
    for job in (run(owner, records(5)), cancel_as(owner, push(owner, records(5)))):
        before = account_of(job)
        with pytest.raises(Refusal) as caught:
            cancel_as(owner, job)
        assert caught.value.code == "wrong_state"
        assert account_of(job).revision == before.revision


def test_a_second_cancel_changes_and_records_nothing(owner: Caller) -> None:
    job = push(owner, records(25))
    with transaction.atomic():
        assert claim() is not None
        first, second = in_threads(lambda: cancel_as(owner, job)) + in_threads(lambda: cancel_as(owner, job))
    assert first.revision == second.revision
    assert actions_on(job) == ["import.accepted", "import.cancelled"]


def test_the_cancelling_is_audited_with_who_did_it(owner: Caller, colleague: Caller) -> None:
    job = push(owner, records(25))
    cancel_as(colleague, job)
    event = AuditEvent.objects.get(action="import.cancelled")
    assert (event.actor_id, event.record_count) == (colleague.key.key_id, 25)
    ended = AuditEvent.objects.get(action="import.failed")
    assert (ended.source_ip, ended.request_id, ended.detail["unprocessed"]) == (SOURCE_IP, REQUEST_ID, 25)


def test_a_cancelled_dry_run_is_audited_as_one(owner: Caller) -> None:
    job = push(owner, records(5), kind="dry_run")
    cancel_as(owner, job)
    account_of(job)
    assert actions_on(job) == ["dry_run.accepted", "dry_run.cancelled", "dry_run.failed"]


def test_cancelled_imports_leave_room_for_others(owner: Caller) -> None:
    for job in [push(owner, records(1)) for _ in range(5)]:
        cancel_as(owner, job)
    assert push(owner, records(1)).status == "pending"


def test_what_a_cancelled_job_left_can_be_pushed_again(owner: Caller) -> None:
    job = push(owner, records(25))
    work(batches=1)
    cancel_as(owner, job)
    assert outcomes_of(run(owner, records(25))) == ["unchanged"] * 10 + ["created"] * 15


def test_a_given_up_job_ends_when_its_last_batch_does(owner: Caller) -> None:
    job = push(owner, records(25))
    with acting_as(Actor("system", "worker-1")), audited():
        batch = claim()
        assert batch is not None
        in_threads(lambda: give_up_as_worker(job))
        half_way = ImportBatch.objects.filter(job=job).values_list("state", flat=True)
        assert sorted(half_way) == ["dropped", "dropped", "pending"]
        process(batch)
    ended = account_of(job)
    assert (ended.status, ended.status_reason, ended.created) == ("failed", "internal_error", 10)
    give_up_as_worker(job)
    assert account_of(job).revision == ended.revision


def give_up_as_worker(job: ImportJob) -> None:
    with acting_as(Actor("system", "worker-2")):
        give_up(job.pk, reason="internal_error")


def test_a_job_that_was_cancelled_keeps_that_reason(owner: Caller) -> None:
    job = push(owner, records(15))
    with transaction.atomic():
        assert claim() is not None
        in_threads(lambda: cancel_as(owner, job), lambda: None)
        in_threads(lambda: give_up_as_worker(job))
    assert account_of(job).status_reason == "cancelled"
