"""Redrives: what they will do, how fast, how far; each job that is touched gives its whole account."""

import time
from typing import Any

import pytest
from django.db.models.functions import Now

from audit.context import Actor, acting_as
from audit.models import AuditEvent
from imports import mending, redrive_plan, redriving
from imports.models import FailedRecord, ImportJob, Redrive
from imports.redrive_plan import Wanted
from imports.redriving import release_next
from imports.refusal import Refusal
from imports.retrying import retry_next
from tests.imports.mishaps import failed_import, large, retry_all, states_of
from tests.imports.pipeline import Caller, account_of, bad_record, calling, record, run

pytestmark = pytest.mark.django_db(transaction=True)


def start(caller: Caller, job: ImportJob | None = None, **asked: Any) -> Redrive:
    wanted = {name: asked.pop(name) for name in ("code", "type", "state") if name in asked}
    with calling(caller):
        return redriving.start(Wanted(caller.customer.pk, job=job, **wanted), **asked)


def now_at(redrive: Redrive) -> Redrive:
    return Redrive.objects.get(pk=redrive.pk)


def one_turn() -> bool:
    with acting_as(Actor("system", "worker-1")):
        return any((release_next(), retry_next()))


def test_a_preview_counts_and_writes_nothing(owner: Caller, stranger: Caller) -> None:
    failed_import(stranger, [large("A")])
    job = failed_import(owner, [large("A"), large("B"), bad_record("C"), record("D")])
    before = list(FailedRecord.objects.order_by("pk").values())
    found = redrive_plan.preview(Wanted(owner.customer.pk))
    assert found["count"] == 3
    assert found["reasons"] == [{"code": "record_too_large", "pointer": "", "count": 2},
                                {"code": "custom_field_not_a_string", "pointer": "/customFields/*", "count": 1}]  # fmt: skip # noqa: E501
    assert found["oldest"] == found["newest"] is not None
    assert redrive_plan.preview(Wanted(owner.customer.pk, job=job, code="record_too_large"))["count"] == 2
    assert redrive_plan.preview(Wanted(owner.customer.pk, type="order"))["count"] == 0
    assert list(FailedRecord.objects.order_by("pk").values()) == before
    assert not Redrive.objects.exists()


def test_a_redrive_follows_its_filter_over_all_jobs(owner: Caller, stranger: Caller) -> None:
    foreign = failed_import(stranger, [large("A")])
    jobs = [failed_import(owner, [large(f"{n}"), bad_record(f"bad {n}")]) for n in range(3)]
    redrive = start(owner, code="record_too_large")
    assert (redrive.state, redrive.total) == ("running", 3)
    retry_all()
    done = now_at(redrive)
    assert (done.state, done.done, done.succeeded, done.left) == ("done", 3, 3, 0)
    assert [states_of(job) for job in jobs] == [["resolved", "open"]] * 3
    assert set(FailedRecord.objects.filter(state="open", job__in=jobs).values_list("attempts", flat=True)) == {1}
    assert states_of(foreign) == ["open"]


def test_a_sample_is_tried_first_and_the_rest_when_asked_for(owner: Caller) -> None:
    job = failed_import(owner, [large(f"A-{n}") for n in range(12)])
    redrive = start(owner, job, sample=5)
    retry_all()
    paused = now_at(redrive)
    assert (paused.state, paused.state_reason, paused.succeeded, paused.left) == ("paused", "sample", 5, 7)
    assert account_of(job).created == 5
    with calling(owner):
        redriving.resume(redrive)
    retry_all()
    assert (now_at(redrive).state, now_at(redrive).succeeded) == ("done", 12)
    assert account_of(job).created == 12


def test_a_sample_of_all_there_are_is_done(owner: Caller) -> None:
    job = failed_import(owner, [large("A")])
    redrive = start(owner, job, sample=1)
    retry_all()
    assert now_at(redrive).state == "done"


def test_a_paced_redrive_stays_below_its_pace_whoever_works(owner: Caller) -> None:
    job = failed_import(owner, [large(f"A-{n}") for n in range(35)])
    redrive = start(owner, job, per_second=10)
    tried: list[tuple[float, int]] = []
    began = time.monotonic()
    while now_at(redrive).state == "running":
        assert time.monotonic() < began + 20
        before = FailedRecord.objects.filter(state="resolved").count()
        one_turn()
        after = FailedRecord.objects.filter(state="resolved").count()
        if after > before:
            tried.append((time.monotonic() - began, after - before))
    assert sum(count for _, count in tried) == 35
    for at, _ in tried:
        assert sum(count for other, count in tried if at <= other < at + 0.95) <= 10
    assert account_of(job).created == 35


def test_a_paused_redrive_hands_out_no_more_until_it_is_resumed(owner: Caller) -> None:
    job = failed_import(owner, [large("A"), large("B")])
    redrive = start(owner, job)
    with calling(owner):
        redriving.pause(redrive)
    assert retry_all() == 0
    assert states_of(job) == ["open", "open"]
    with calling(owner):
        redriving.resume(redrive)
    retry_all()
    assert account_of(job).created == 2


def test_a_cancelled_redrive_stays_cancelled(owner: Caller) -> None:
    job = failed_import(owner, [large("A"), large("B")])
    redrive = start(owner, job, sample=1)
    retry_all()
    with calling(owner):
        assert redriving.cancel(redrive).left == 0
    retry_all()
    assert account_of(job).created == 1
    for move in (redriving.pause, redriving.resume, redriving.cancel):
        with calling(owner), pytest.raises(Refusal) as refused:
            move(redrive)
        assert refused.value.code == "wrong_state"
    assert start(owner, job, sample=1).pk != redrive.pk


def test_a_kill_at_any_point_loses_and_doubles_nothing(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that never commits is what a kill leaves; a noted try without a turn is the other."""
    monkeypatch.setattr(redriving, "AT_A_TIME", 3)
    job = failed_import(owner, [*(large(f"A-{n}") for n in range(7)), bad_record("B")])
    redrive = start(owner, job)

    class Killed(BaseException):
        pass

    def killed(*args: object, **kwargs: object) -> None:
        raise Killed

    with acting_as(Actor("system", "worker-1")):
        for place in ("redriving._finish", "retrying._try_again", "retrying._count_for_redrives", "retrying._lock"):
            for turn in (release_next, retry_next):
                with monkeypatch.context() as patch:
                    patch.setattr(f"imports.{place}", killed)
                    try:
                        turn()
                    except Killed:
                        account_of(job)
            FailedRecord.objects.filter(state="retrying").update(next_attempt_at=Now(), tries=0)
    for _ in range(5):
        retry_all()
        FailedRecord.objects.filter(state="retrying").update(next_attempt_at=Now())
    assert account_of(job).created == 7
    done = now_at(redrive)
    assert (done.state, done.succeeded, done.failed_again) == ("done", 7, 1)


def test_what_is_resolved_in_another_way_meanwhile_falls_away(owner: Caller) -> None:
    job = failed_import(owner, [large("A"), large("B")])
    redrive = start(owner, job)
    run(owner, [large("A")])
    with calling(owner):
        mending.discard(FailedRecord.objects.get(state="open"), reason="other")
    retry_all()
    done = now_at(redrive)
    assert (done.state, done.done, done.left) == ("done", 0, 0)
    assert account_of(job).failed == 1


def test_discarded_records_can_be_redriven(owner: Caller) -> None:
    job = failed_import(owner, [large("A")])
    with calling(owner):
        mending.discard(FailedRecord.objects.get(), reason="other")
    start(owner, state="discarded")
    retry_all()
    assert account_of(job).created == 1


def test_a_dry_run_has_nothing_to_try_again(owner: Caller) -> None:
    job = run(owner, [bad_record("A")], kind="dry_run")
    with calling(owner), pytest.raises(Refusal):
        redriving.retry_job(job)


def test_a_redrive_is_audited_from_start_to_end_once(owner: Caller) -> None:
    job = failed_import(owner, [large("A"), large("B")])
    redrive = start(owner, job, sample=1)
    assert start(owner, job, sample=1).pk == redrive.pk
    retry_all()
    with calling(owner):
        redriving.resume(redrive)
        redriving.pause(redrive)
        redriving.resume(redrive)
    retry_all()
    events = AuditEvent.objects.filter(target=f"redrive:{redrive.uuid}").order_by("sequence")
    assert [event.action.removeprefix("redrive.") for event in events] == [
        "started",
        "resumed",
        "paused",
        "resumed",
        "done",
    ]
    assert events[0].actor_id == owner.key.key_id
    assert events[4].detail == {"succeeded": 2, "failed_again": 0}
