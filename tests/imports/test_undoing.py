"""An import taken back: what it created goes, what it updated is as before, what has changed since stays."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from audit.context import Actor, acting_as
from audit.models import AuditEvent
from imports import closing, ending, mending, opening, parts, redriving, undoing
from imports.models import FailedRecord, ImportBatch, ImportJob, Record, RecordVersion, Undo
from imports.redrive_plan import Wanted
from imports.refusal import Refusal
from imports.undo_plan import plan
from imports.undoing import undo_next
from tests.imports.mishaps import fail_for_a_passing_reason, failed_import, large, retry_all, states_of
from tests.imports.pipeline import (
    METADATA,
    Caller,
    account_of,
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
    submission,
    work,
)
from tests.imports.undos import ask, contents, counts_of, now_at, reasons_of, undo, undo_all, version_count

pytestmark = pytest.mark.django_db(transaction=True)


def named(external_id: str, name: str) -> dict[str, Any]:
    return record(external_id, attributes={"name": name})


def names(caller: Caller) -> dict[str, str]:
    return {external_id: content["attributes"]["name"] for (_, external_id), content in stored_by(caller).items()}


def test_what_it_created_is_removed_and_what_it_updated_is_exactly_as_before(owner: Caller, small_batches: int) -> None:
    run(owner, [named(f"{number}", "first") for number in range(25)])
    run(owner, [named(f"{number}", "first") for number in range(5)])
    before = contents(owner)
    job = run(owner, [named(f"{number}", "second") for number in range(40)])
    assert (job.created, job.updated, version_count(owner)) == (15, 25, 25)
    done = undo(owner, job)
    assert counts_of(done) == {"removed": 15, "restored": 25}
    assert contents(owner) == before
    assert version_count(owner) == 0


def test_what_a_later_import_changed_stays_and_is_named(owner: Caller) -> None:
    first = run(owner, [named("A", "first"), named("B", "first")])
    second = run(owner, [named("C", "second"), named("A", "second")])
    done = undo(owner, first)
    assert counts_of(done) == {"removed": 1, "kept": 1}
    assert reasons_of(done) == [(0, "changed", second.pk)]
    assert names(owner) == {"A": "second", "C": "second"}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_a_chain_that_is_undone_nothing_is_left(owner: Caller, order: tuple[int, int]) -> None:
    jobs = [run(owner, [named("A", "first")]), run(owner, [named("A", "second")])]
    for number in order:
        undo(owner, jobs[number])
    assert not Record.objects.exists()
    assert version_count(owner) == 0


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_a_chain_undone_in_any_order_leaves_what_was_before_it(owner: Caller, order: tuple[int, int]) -> None:
    jobs = [run(owner, [named("A", "first")])]
    before = contents(owner)
    jobs += [run(owner, [named("A", name)]) for name in ("second", "third")]
    for number in order:
        undo(owner, jobs[number])
    assert contents(owner) == before


def test_with_the_creator_undone_the_next_one_is_the_creator(owner: Caller) -> None:
    first = run(owner, [named("A", "first")])
    run(owner, [named("A", "second")])
    run(owner, [named("A", "third")])
    undo(owner, first)
    stored, version = Record.objects.get(), RecordVersion.objects.get()
    assert stored.created_at == version.created_at == version.updated_at < stored.updated_at


class TestTheSameContent:
    """A later import that brought the same content keeps it, until that one is undone too."""

    def test_keeps_the_record(self, owner: Caller) -> None:
        first = run(owner, [named("A", "first")])
        same = run(owner, [named("A", "first")])
        done = undo(owner, first)
        assert reasons_of(done) == [(0, "confirmed", same.pk)]
        assert names(owner) == {"A": "first"}

    @pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
    @pytest.mark.parametrize("is_new", [True, False])
    def test_goes_when_all_who_brought_it_are_undone(self, owner: Caller, order: tuple[int, ...], is_new: bool) -> None:
        if not is_new:
            run(owner, [named("A", "before")])
        before = contents(owner)
        jobs = [run(owner, [named("A", "same")]) for _ in range(3)]
        for left, number in zip((2, 1, 0), order, strict=True):
            assert names(owner) == {"A": "same"}
            undo(owner, jobs[number])
            assert (contents(owner) == before) == (left == 0)

    @pytest.mark.parametrize("order", [(0, 1), (1, 0)])
    def test_goes_further_down_too(self, owner: Caller, order: tuple[int, ...]) -> None:
        run(owner, [named("A", "before")])
        before = contents(owner)
        jobs = [run(owner, [named("A", "same")]) for _ in range(2)]
        last = run(owner, [named("A", "after")])
        for number in order:
            undo(owner, jobs[number])
            assert names(owner) == {"A": "after"}
        undo(owner, last)
        assert contents(owner) == before

    def test_no_longer_holds_an_older_import_back(self, owner: Caller) -> None:
        run(owner, [named("A", "first")])
        older = push(owner, [named("A", "older")])
        same = push(owner, [named("A", "first")])
        work_on(same)
        undo(owner, same)
        work()
        assert outcomes_of(older) == ["updated"]
        assert names(owner) == {"A": "older"}


def work_on(job: ImportJob) -> None:
    """Works on this job alone, as if no worker had come to the older ones."""
    others = ImportJob.objects.unfinished().exclude(pk=job.pk)
    held = list(others.values_list("pk", flat=True))
    others.update(cancelled_at=Now())
    work()
    ImportJob.objects.filter(pk__in=held).update(cancelled_at=None)


def test_what_was_left_out_for_an_import_keeps_its_record(owner: Caller) -> None:
    """Undone, nobody's content would stand there, though the older import's is none that was undone."""
    older = push(owner, [named("A", "older")])
    newer = push(owner, [named("A", "newer")])
    work_on(newer)
    work()
    assert outcomes_of(older) == ["superseded"]
    done = undo(owner, newer)
    assert reasons_of(done) == [(0, "superseded", None)]
    assert names(owner) == {"A": "newer"}


def test_an_older_import_that_comes_after_the_undo_stores_its_records(owner: Caller) -> None:
    older = push(owner, [named("A", "older"), named("B", "older")])
    newer = push(owner, [named("A", "newer")])
    work_on(newer)
    undo(owner, newer)
    work()
    assert account_of(older).created == 2
    assert names(owner) == {"A": "older", "B": "older"}


def test_records_that_were_retried_are_undone_with_their_import(owner: Caller) -> None:
    job = failed_import(owner, [large("A"), record("B")])
    fail_for_a_passing_reason(job)
    retry_all()
    assert states_of(job) == ["resolved"]
    assert counts_of(undo(owner, job)) == {"removed": 2}
    assert not Record.objects.exists()


def test_a_record_that_an_import_stored_several_times_goes_wholly(owner: Caller) -> None:
    """In parts nobody looks for duplicates beforehand, so one import may store a record several times."""
    run(owner, [named("B", "before")])
    before = contents(owner)
    with calling(owner):
        job = opening.open_job(submission(owner, json.dumps({"metadata": METADATA}).encode()))
        for number, name in enumerate(["first", "second", "second"], start=1):
            body = json.dumps({"records": [named("A", name), named("B", name)]}).encode()
            parts.receive(submission(owner, body), job=job, number=number, wire_bytes=len(body))
        closing.close(job)
    work()
    assert outcomes_of(job) == ["created", "updated"] + ["updated"] * 2 + ["unchanged"] * 2
    foreseen = plan(account_of(job))
    assert (foreseen["remove"], foreseen["restore"], foreseen["keep"]) == (1, 3, 0)
    assert counts_of(undo(owner, job)) == {"removed": 1, "restored": 3}
    assert contents(owner) == before


def test_what_somebody_edited_stays(owner: Caller) -> None:
    job = run(owner, [bad_record("A"), record("B")])
    failure = FailedRecord.objects.get()
    with calling(owner):
        mending.edit(failure, json.dumps(named("A", "mended")).encode(), attempt=failure.attempts)
    retry_all()
    edit = FailedRecord.objects.get().edit_job_id
    done = undo(owner, job)
    assert counts_of(done) == {"removed": 1, "kept": 1}
    assert reasons_of(done) == [(0, "edited", edit)]
    assert names(owner) == {"A": "mended"}


def test_an_edit_of_another_imports_record_counts_as_a_change(owner: Caller) -> None:
    other = run(owner, [bad_record("A")])
    job = run(owner, [named("B", "first")])
    failure = FailedRecord.objects.get(job=other)
    with calling(owner):
        mending.edit(failure, json.dumps(named("B", "mended")).encode(), attempt=failure.attempts)
    retry_all()
    done = undo(owner, job)
    assert [reason[:2] for reason in reasons_of(done)] == [(0, "edited")]
    assert plan(job)["keptBecause"] == {"edited": 1}


class TestFailedRecords:
    def test_are_given_up_and_nobody_tries_them_again(self, owner: Caller) -> None:
        job = run(owner, [bad_record("A"), bad_record("B"), record("C")])
        first, second = FailedRecord.objects.order_by("index")
        with calling(owner):
            mending.discard(second, reason="test")
        done = undo(owner, job)
        assert counts_of(done) == {"removed": 1, "discarded": 1}
        rows = FailedRecord.objects.order_by("index").values_list("state", "discard_reason")
        assert list(rows) == [("discarded", "undone"), ("discarded", "test")]
        for failure in (first, second):
            moves: list[Callable[[], object]] = [
                partial(mending.retry, failure),
                partial(mending.edit, failure, json.dumps(record("A")).encode(), attempt=failure.attempts),
                partial(mending.discard, failure, reason="other"),
            ]
            for move in moves:
                with calling(owner), pytest.raises(Refusal) as refused:
                    move()
                assert refused.value.code == "wrong_state"
        with calling(owner), pytest.raises(Refusal) as refused:
            redriving.retry_job(job)
        assert refused.value.code == "wrong_state"
        assert Wanted(owner.customer.pk, state="discarded").failures().count() == 0
        assert ImportJob.objects.filter(kind="edit").count() == 0

    def test_are_refused_from_the_moment_the_undo_is_asked_for(self, owner: Caller) -> None:
        job = run(owner, [bad_record("A")])
        ask(owner, job)
        with calling(owner), pytest.raises(Refusal):
            mending.retry(FailedRecord.objects.get())

    def test_that_wait_for_their_worker_are_given_up(self, owner: Caller) -> None:
        job = failed_import(owner, [large("A")])
        with calling(owner):
            mending.retry(FailedRecord.objects.get())
        undo(owner, job)
        assert retry_all() == 0
        assert not Record.objects.exists()

    def test_of_other_imports_are_left_alone(self, owner: Caller) -> None:
        other = run(owner, [bad_record("A")])
        undo(owner, run(owner, [bad_record("B")]))
        assert states_of(other) == ["open"]


class TestWhatCannotBeUndone:
    def refused(self, caller: Caller, job: ImportJob) -> str:
        codes = set()
        for ask_for in (undoing.start, plan):
            with calling(caller), pytest.raises(Refusal) as refused:
                ask_for(ImportJob.objects.get(pk=job.pk))
            codes.add(refused.value.code)
        assert not Undo.objects.exists()
        assert len(codes) == 1
        return codes.pop()

    def test_a_dry_run(self, owner: Caller) -> None:
        assert self.refused(owner, run(owner, [record("A")], kind="dry_run")) == "wrong_state"

    def test_an_edit(self, owner: Caller) -> None:
        run(owner, [bad_record("A")])
        failure = FailedRecord.objects.get()
        with calling(owner):
            mending.edit(failure, json.dumps(record("A")).encode(), attempt=1)
        assert self.refused(owner, ImportJob.objects.get(kind="edit")) == "wrong_state"

    def test_an_unfinished_import(self, owner: Caller, small_batches: int) -> None:
        job = push(owner, records(20))
        work(batches=1)
        assert self.refused(owner, job) == "wrong_state"

    def test_one_whose_retention_has_ended(self, owner: Caller) -> None:
        job = run(owner, [record("A")])
        ImportJob.objects.filter(pk=job.pk).update(expires_at=Now())
        assert self.refused(owner, job) == "results_expired"

    def test_one_whose_payload_is_gone(self, owner: Caller) -> None:
        job = run(owner, [record("A")])
        ImportBatch.objects.update(payload=None)
        assert self.refused(owner, job) == "results_expired"


def test_a_cancelled_import_is_undone_as_far_as_it_came(owner: Caller, small_batches: int) -> None:
    job = push(owner, records(30))
    work(batches=2)
    with calling(owner):
        ending.cancel(job.pk)
    assert counts_of(undo(owner, account_of(job))) == {"removed": 20}
    assert not Record.objects.exists()


def test_a_record_that_is_no_longer_there_is_counted(owner: Caller) -> None:
    job = run(owner, [record("A"), record("B")])
    Record.objects.filter(changed_index=0).delete()
    assert plan(job)["gone"] == 1
    assert counts_of(undo(owner, job)) == {"removed": 1, "gone": 1}


def test_what_an_update_replaced_before_there_were_versions_stays(owner: Caller) -> None:
    run(owner, [named("A", "first")])
    job = run(owner, [named("A", "second"), record("B")])
    RecordVersion.objects.all().delete()
    assert plan(job)["keptBecause"] == {"no_version": 1}
    done = undo(owner, job)
    assert counts_of(done) == {"removed": 1, "kept": 1}
    assert names(owner)["A"] == "second"


def test_the_plan_says_what_the_undo_then_does_and_writes_nothing(owner: Caller, small_batches: int) -> None:
    run(owner, [named(f"{number}", "before") for number in range(12)])
    job = run(owner, [*[named(f"{number}", "it") for number in range(24)], bad_record("bad")])
    run(owner, [named("3", "after"), named("20", "it"), named("23", "after")])
    before = contents(owner)
    foreseen = plan(job)
    assert contents(owner) == before
    assert not Undo.objects.exists()
    done = undo(owner, job)
    assert foreseen == {
        "remove": done.removed,
        "restore": done.restored,
        "keep": done.kept,
        "gone": 0,
        "discard": 1,
        "keptBecause": {"changed": 2, "confirmed": 1},
    }
    assert (done.removed, done.restored, done.kept) == (10, 11, 3)


def test_asked_for_by_twenty_at_once_it_is_one(owner: Caller) -> None:
    job = run(owner, [record("A"), record("B")])
    asked = in_threads(*[lambda: ask(owner, job)] * 20)
    assert len({one.pk for one in asked}) == 1
    assert undo_all() == 2
    assert ask(owner, job).state == "done"
    assert AuditEvent.objects.filter(action="import.undo_started").count() == 1


def test_it_is_audited_from_start_to_end(owner: Caller) -> None:
    run(owner, [named("A", "first")])
    job = run(owner, [named("A", "second"), record("B")])
    undo(owner, job)
    started, ended = AuditEvent.objects.filter(action__startswith="import.und").order_by("sequence")
    assert (started.action, started.actor_id, started.record_count) == ("import.undo_started", owner.key.key_id, 2)
    assert (ended.action, ended.target, ended.record_count) == ("import.undone", f"import:{job.uuid}", 2)
    assert ended.detail == {"removed": 1, "restored": 1, "kept": 0, "gone": 0, "discarded": 0}


def test_a_kill_at_any_point_repeats_nothing(
    owner: Caller, monkeypatch: pytest.MonkeyPatch, small_batches: int
) -> None:
    """A turn that never commits is what a kill leaves; a noted try without a turn is the other."""
    run(owner, [named(f"{number}", "first") for number in range(15)])
    before = contents(owner)
    job = run(owner, [named(f"{number}", "second") for number in range(25)])
    asked = ask(owner, job)

    class Killed(BaseException):
        pass

    def killed(*args: object, **kwargs: object) -> None:
        raise Killed

    with acting_as(Actor("system", "worker-1")):
        for place in ("_go_on", "_count", "unwind", "_finish"):
            with monkeypatch.context() as patch:
                patch.setattr(undoing, place, killed)
                try:
                    undo_next()
                except Killed:
                    assert not undo_next(), "it is due again only after a pause"
                Undo.objects.update(due_at=Now())
            assert undo_next()
    undo_all()
    assert counts_of(now_at(asked)) == {"removed": 10, "restored": 15}
    assert contents(owner) == before


def test_a_payload_that_does_not_open_ends_the_undo_which_can_go_on_later(owner: Caller, small_batches: int) -> None:
    job = run(owner, records(15))
    batch = ImportBatch.objects.get(job=job, first_index=0)
    whole = bytes(batch.payload or b"")
    ImportBatch.objects.filter(pk=batch.pk).update(payload=whole[:-1] + b"\0")
    asked = ask(owner, job)
    for _ in range(undoing.MAX_ERRORS + 1):
        undo_all()
        Undo.objects.filter(state="running").update(due_at=Now())
    failed = now_at(asked)
    assert (failed.state, failed.state_reason, failed.position, failed.removed) == ("failed", "internal_error", 10, 5)
    assert not undoing.is_due()
    ImportBatch.objects.filter(pk=batch.pk).update(payload=whole)
    assert counts_of(undo(owner, job)) == {"removed": 15}


def test_two_workers_share_an_undo_and_an_import_of_the_same_records(owner: Caller, small_batches: int) -> None:
    run(owner, [named(f"{number}", "before") for number in range(40)])
    before = contents(owner)
    job = run(owner, [named(f"{number}", "undone") for number in range(80)])
    later = push(owner, [named(f"{number}", "later") for number in range(79, -1, -2)])
    asked = ask(owner, job)

    def work_off() -> None:
        with acting_as(Actor("system", "worker")):
            while now_at(asked).state == "running" or not ImportJob.objects.get(pk=later.pk).is_finished:
                undo_next()
                work(batches=1)

    in_threads(*[work_off] * 3)
    account_of(later)
    done = now_at(asked)
    assert done.removed + done.restored + done.kept == 80
    expected = {f"{number}": "later" if number % 2 else "before" for number in range(80) if number % 2 or number < 40}
    assert names(owner) == expected
    undo(owner, later)
    assert contents(owner) == before
    assert version_count(owner) == 0


def test_a_record_that_somebody_holds_puts_the_undo_off(owner: Caller) -> None:
    job = run(owner, [record("A")])
    asked = ask(owner, job)
    with another_session() as session, acting_as(Actor("system", "worker-1")):
        session.execute("BEGIN")
        session.execute("SELECT * FROM imports_record FOR UPDATE")
        with another_session() as other:
            other.execute("ALTER ROLE CURRENT_USER SET lock_timeout = '200ms'")
        try:
            connection.close()
            assert undo_next()
            assert not undo_next()
        finally:
            with another_session() as other:
                other.execute("ALTER ROLE CURRENT_USER RESET lock_timeout")
            connection.close()
        session.execute("ROLLBACK")
    assert now_at(asked).tries == 1
    Undo.objects.update(due_at=Now())
    undo_all()
    assert counts_of(now_at(asked)) == {"removed": 1}
