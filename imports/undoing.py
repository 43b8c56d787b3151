"""Undos: an import taken back as if it had never been. Who asks names the job; workers follow it from its end to its
beginning, a batch a transaction, so that what it stored last goes first.

Its failed records are given up with their batch; from the first moment on nobody may try them again.
"""

import logging
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.db.models.functions import Now

from audit.clock import database_now
from audit.context import Actor, Context, acting_as, current_context
from audit.trail import audited, record
from customers.keyring import keyring
from imports import doorbell, session, timeouts
from imports.after_commit import after_commit
from imports.confinement import begin_batch
from imports.failpoints import hit
from imports.models import ImportBatch, ImportJob, Undo
from imports.refusal import Refusal
from imports.unwinding import Unwound, unwind

MAX_ERRORS: Final = 5
# Where the worker dies meanwhile, the undo is due again after this, and longer with each death in a row.
SHORTEST_PAUSE_SECONDS: Final = 2
LONGEST_PAUSE_SECONDS: Final = 60

COUNTS: Final = ("removed", "restored", "kept", "gone", "discarded")

logger = logging.getLogger(__name__)


def start(job: ImportJob) -> Undo:
    """The job's undo, under way or done: asked for twice, it is the same. One that failed goes on where it stood.

    Raises Refusal (wrong_state, results_expired) for a job that cannot be undone.
    """
    context = current_context()
    actor = context.actor or Actor("system", "imports")
    with audited():
        job = ImportJob.objects.select_for_update(no_key=True).get(pk=job.pk)
        undo = Undo.objects.select_for_update(no_key=True).filter(job=job).first()
        if undo is None or undo.state == Undo.State.FAILED:
            refuse_unless_possible(job)
            undo = undo or Undo(
                job=job,
                customer_id=job.customer_id,
                position=job.total,
                actor_kind=actor.kind,
                actor_id=actor.id,
                request_id=context.request_id or "",
            )
            undo.state, undo.state_reason, undo.tries, undo.due_at = Undo.State.RUNNING, "", 0, Now()
            undo.save()
            _note(undo, "import.undo_started", count=job.total)
            after_commit(doorbell.wake, job.pk)
    return Undo.objects.select_related("job").get(pk=undo.pk)


def refuse_unless_possible(job: ImportJob) -> None:
    """Raises Refusal: wrong_state for what stores nothing or has not ended, results_expired for what is too old."""
    if job.kind != ImportJob.Kind.IMPORT:
        raise Refusal("wrong_state", "Only an import can be undone.")
    if not job.is_finished:
        raise Refusal("wrong_state", f"This import is {job.status}; cancel it, or wait for its end, then undo it.")
    done = ImportBatch.objects.filter(job=job, state=ImportBatch.State.DONE)
    if job.expires_at <= database_now() or done.filter(payload__isnull=True).exists():
        raise Refusal("results_expired", "What this import replaced has been removed, so it can no longer be undone.")


def is_undone(job_reference: str = "job") -> Exists:
    """A condition for queries: whether an undo of the job was asked for, however far it is."""
    return Exists(Undo.objects.filter(job=OuterRef(job_reference)))


def is_job_undone(job_id: int) -> bool:
    """The same of one job."""
    return Undo.objects.filter(job_id=job_id).exists()


def is_due() -> bool:
    """Whether an undo waits for a worker."""
    return _due().exists()


def undo_next() -> bool:
    """Takes back the next batch of an undo that is due; False where none is. Raises only what ends the worker."""
    # Most turns find none, and this is a statement where taking one is three.
    taken = _take() if is_due() else None
    if taken is None:
        return False
    begin_batch()
    used = session.current()
    try:
        with audited():
            _go_on(taken)
            hit("unwound")
        hit("unwound_committed")
    except MemoryError:
        raise
    except Exception as err:
        if session.is_lost(used):
            raise
        _settle(taken, err)
    return True


@dataclass(frozen=True, slots=True)
class _Taken:
    """An undo whose next try is noted: a worker that dies leaves it due a little later."""

    id: int
    job_id: int
    tries: int


def _due() -> QuerySet[Undo]:
    return Undo.objects.filter(state=Undo.State.RUNNING, due_at__lte=Now())


def _take() -> _Taken | None:
    with transaction.atomic():
        undo = _due().select_for_update(skip_locked=True, no_key=True).order_by("due_at", "pk").first()
        if undo is None:
            return None
        pause = min(SHORTEST_PAUSE_SECONDS * 2 ** min(undo.tries, 10), LONGEST_PAUSE_SECONDS)
        Undo.objects.filter(pk=undo.pk).update(tries=F("tries") + 1, due_at=Now() + timedelta(seconds=pause))
    return _Taken(undo.pk, undo.job_id, undo.tries + 1)


def _go_on(taken: _Taken) -> None:
    """Within the caller's transaction, whose commit makes it done. Whoever took the undo later has it."""
    noted = Undo.objects.filter(pk=taken.id, tries=taken.tries, state=Undo.State.RUNNING)
    undo = noted.select_for_update(skip_locked=True, no_key=True).first()
    if undo is None:
        return
    batches = ImportBatch.objects.filter(
        job_id=undo.job_id, state=ImportBatch.State.DONE, first_index__lt=undo.position
    )
    batch = batches.select_for_update(no_key=True).order_by("-first_index").first()
    if batch is None:
        _finish(undo)
        return
    if batch.payload is None:
        _fail(undo, "results_expired")
        return
    job = ImportJob.objects.get(pk=undo.job_id)
    _count(undo, unwind(undo, batch, job=job, keys=keyring(undo.customer_id)))
    undo.position, undo.tries, undo.due_at = batch.first_index, 0, Now()
    undo.save(update_fields=["position", "tries", "due_at", *COUNTS])


def _count(undo: Undo, unwound: Unwound) -> None:
    for name in COUNTS:
        setattr(undo, name, getattr(undo, name) + getattr(unwound, name))


def _settle(taken: _Taken, err: Exception) -> None:
    """After the rollback: at once again, a little later, or never again of itself."""
    undo = Undo.objects.filter(pk=taken.id, tries=taken.tries, state=Undo.State.RUNNING)
    passing = timeouts.passing_reason(err)
    if isinstance(err.__cause__, timeouts.CROSSED):
        undo.update(tries=F("tries") - 1, due_at=Now())
        logger.info("undo_again job=%s cause=%s", taken.job_id, type(err.__cause__).__name__)
    elif passing is not None:
        logger.warning("undo_put_off job=%s cause=%s", taken.job_id, passing)
    else:
        logger.error("undo_failed job=%s", taken.job_id, exc_info=err)
        if taken.tries >= MAX_ERRORS:
            with audited():
                failed = undo.select_for_update(no_key=True).first()
                if failed is not None:
                    _fail(failed, "internal_error")


def _finish(undo: Undo) -> None:
    undo.state = Undo.State.DONE
    Undo.objects.filter(pk=undo.pk).update(state=undo.state, position=0, tries=0, finished_at=Now())
    with _as_asked(undo):
        _note(undo, "import.undone", count=undo.removed + undo.restored)


def _fail(undo: Undo, reason: str) -> None:
    Undo.objects.filter(pk=undo.pk).update(state=Undo.State.FAILED, state_reason=reason)
    with _as_asked(undo):
        _note(undo, "import.undo_failed", count=undo.removed + undo.restored)


def _as_asked(undo: Undo) -> AbstractContextManager[Context]:
    actor = Actor(undo.actor_kind, undo.actor_id)  # type: ignore[arg-type]
    return acting_as(current_context().actor or actor, request_id=undo.request_id)


def _note(undo: Undo, action: str, *, count: int) -> None:
    record(
        action,
        target=f"import:{undo.job.uuid}",
        customer_id=undo.customer_id,
        record_count=count,
        detail={name: getattr(undo, name) for name in COUNTS},
    )
