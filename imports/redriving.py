"""Redrives: many failed records tried again as one thing. Who asks states a filter; workers follow it to its end.

Nothing is marked beforehand. A redrive hands out its records some at a time, and its row keeps how far it is.
"""

from typing import Final

from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from audit.context import Actor, acting_as, current_context
from audit.trail import audited, record
from imports import doorbell, undoing
from imports.after_commit import after_commit
from imports.models import FailedRecord, ImportJob, Redrive
from imports.redrive_plan import Wanted
from imports.refusal import Refusal

AT_A_TIME: Final = 1_000
MAX_PER_SECOND: Final = 1_000
SAMPLE: Final = "sample"


def retry_job(job: ImportJob) -> Redrive:
    """All of a job's open failed records. Raises Refusal (wrong_state) for one that stores nothing or was undone."""
    if job.kind != ImportJob.Kind.IMPORT:
        raise Refusal("wrong_state", "A dry run stores nothing, so there is nothing to try again.")
    if undoing.is_job_undone(job.pk):
        raise Refusal("wrong_state", "This import was undone, so nothing of it is tried again.")
    return start(Wanted(job.customer_id, job=job))


def start(wanted: Wanted, *, sample: int | None = None, per_second: int | None = None) -> Redrive:
    """The redrive, or the unfinished one that was asked for in the same words before: twenty clicks are one."""
    context = current_context()
    actor = context.actor or Actor("system", "imports")
    same = Redrive.objects.filter(
        customer_id=wanted.customer_id,
        wanted_job=wanted.job,
        wanted_code=wanted.code,
        wanted_type=wanted.type,
        wanted_state=wanted.state,
        sample=sample,
        per_second=per_second,
        state__in=Redrive.UNFINISHED,
    )
    bounds = wanted.failures().order_by().aggregate(total=Count("pk"), first=Min("pk"))
    made = Redrive(
        customer_id=wanted.customer_id,
        wanted_job=wanted.job,
        wanted_code=wanted.code,
        wanted_type=wanted.type,
        wanted_state=wanted.state,
        sample=sample,
        per_second=per_second,
        total=bounds["total"],
        position=(bounds["first"] or 1) - 1,
        stops_at=sample,
        actor_kind=actor.kind,
        actor_id=actor.id,
        request_id=context.request_id or "",
    )
    with audited():
        # The constraint decides which of several parallel ones it is; the others find it committed. Found by none, it
        # has ended meanwhile, and made way.
        while True:
            Redrive.objects.bulk_create([made], ignore_conflicts=True)
            started = same.select_related("wanted_job").first()
            if started is not None:
                break
        if started.uuid == made.uuid:
            _note(started, "redrive.started", count=started.total)
        after_commit(doorbell.wake, started.pk)
    return started


def pause(redrive: Redrive) -> Redrive:
    """What was handed out is still tried. Raises Refusal (wrong_state) unless it is running."""
    return _move(redrive, (Redrive.State.RUNNING,), "redrive.paused", state=Redrive.State.PAUSED)


def resume(redrive: Redrive) -> Redrive:
    """Goes on where it stood, after a sample with all the rest. Raises Refusal (wrong_state) unless it is paused."""
    changes = {"state": Redrive.State.RUNNING, "state_reason": "", "stops_at": None}
    return _move(redrive, (Redrive.State.PAUSED,), "redrive.resumed", **changes)


def cancel(redrive: Redrive) -> Redrive:
    """For good; what was handed out is still tried. Raises Refusal (wrong_state) where it has ended."""
    changes = {"state": Redrive.State.CANCELLED, "state_reason": "", "finished_at": Now()}
    return _move(redrive, Redrive.UNFINISHED, "redrive.cancelled", **changes)


def is_due() -> bool:
    """Whether a redrive has records to hand out, or its end to note."""
    return _due().exists()


def release_next() -> bool:
    """Hands out the next records of a redrive that is due; False where none is. One worker a redrive at a time.

    The next ones follow when these have been tried, a second later where there is a pace: so no second sees more.
    """
    with audited():
        redrive = _due().select_for_update(skip_locked=True, no_key=True, of=("self",)).order_by("due_at", "pk").first()
        # Looked at again with the row locked: another worker may have handed some out since the statement began.
        if redrive is None or _under_way().filter(redrive=redrive).exists():
            return False
        count = min(redrive.per_second or AT_A_TIME, AT_A_TIME)
        if redrive.stops_at is not None:
            count = min(count, redrive.stops_at - redrive.released)
        wanted = _wanted(redrive).failures().filter(pk__gt=redrive.position)
        untouched = wanted.filter(Q(tried_at=None) | Q(tried_at__lt=redrive.created_at))
        if count <= 0 and untouched.exists():
            redrive.state, redrive.state_reason = Redrive.State.PAUSED, SAMPLE
            redrive.save(update_fields=["state", "state_reason"])
            return True
        next_ones = list(untouched.order_by("pk").values_list("pk", flat=True)[: max(count, 0)])
        if not next_ones:
            _finish(redrive)
            return True
        free = untouched.filter(pk__in=next_ones).select_for_update(skip_locked=True, no_key=True)
        found = set(free.values_list("pk", flat=True))
        if not found:
            return False
        FailedRecord.objects.filter(pk__in=found).update(
            state=FailedRecord.State.RETRYING,
            tries=0,
            next_attempt_at=Now(),
            redrive=redrive,
            discard_reason="",
            updated_at=Now(),
        )
        # One that somebody else holds just now is looked at again.
        redrive.position = min((number - 1 for number in next_ones if number not in found), default=next_ones[-1])
        redrive.released += len(found)
        redrive.save(update_fields=["position", "released"])
    return True


def _due() -> QuerySet[Redrive]:
    return Redrive.objects.filter(
        ~Exists(_under_way().filter(redrive=OuterRef("pk"))), state=Redrive.State.RUNNING, due_at__lte=Now()
    )


def _under_way() -> QuerySet[FailedRecord]:
    return FailedRecord.objects.filter(state=FailedRecord.State.RETRYING)


def _finish(redrive: Redrive) -> None:
    redrive.state = Redrive.State.DONE
    Redrive.objects.filter(pk=redrive.pk).update(state=redrive.state, finished_at=Now())
    actor = Actor(redrive.actor_kind, redrive.actor_id)  # type: ignore[arg-type]
    with acting_as(current_context().actor or actor, request_id=redrive.request_id):
        _note(
            redrive,
            "redrive.done",
            count=redrive.done,
            succeeded=redrive.succeeded,
            failed_again=redrive.failed_again,
        )


def _move(redrive: Redrive, states: tuple[str, ...], action: str, **changes: object) -> Redrive:
    with audited():
        if not Redrive.objects.filter(pk=redrive.pk, state__in=states).update(**changes):
            now_at = Redrive.objects.get(pk=redrive.pk)
            raise Refusal("wrong_state", f"This redrive is {now_at.state}, so that cannot be done.")
        changed = Redrive.objects.select_related("wanted_job").get(pk=redrive.pk)
        _note(changed, action, count=changed.left)
        after_commit(doorbell.wake, redrive.pk)
    return changed


def _wanted(redrive: Redrive) -> Wanted:
    return Wanted(
        redrive.customer_id, redrive.wanted_job, redrive.wanted_code, redrive.wanted_type, redrive.wanted_state
    )


def _note(redrive: Redrive, action: str, *, count: int, **detail: int) -> None:
    record(
        action,
        target=f"redrive:{redrive.uuid}",
        customer_id=redrive.customer_id,
        record_count=count,
        detail=detail,
    )
