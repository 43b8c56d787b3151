"""How a job ends other than by its last batch: cancelled by someone, or given up; and the audit's word on every end."""

from datetime import datetime

from django.db.models import Sum

from audit.clock import database_now
from audit.context import Actor, acting_as, current_context
from audit.trail import audited, record
from imports import parts, publishing, retention
from imports.after_commit import after_commit
from imports.claiming import unheld
from imports.models import ImportBatch, ImportJob
from imports.quality import scores
from imports.refusal import Refusal

CANCELLED = "cancelled"
COUNTS = ("total", "created", "updated", "unchanged", "superseded", "failed", "unprocessed")


def cancel(job_id: int) -> ImportJob:
    """Drops the batches that nobody works on; those under way finish, and the last of them ends the job as failed.

    Raises Refusal (wrong_state) where the job has ended.
    """
    with audited():
        job = ImportJob.objects.select_for_update(no_key=True).get(pk=job_id)
        if job.is_finished:
            raise Refusal("wrong_state", f"This import has {job.status} and can no longer be cancelled.")
        is_new = job.cancelled_at is None
        if is_new:
            job.cancelled_at = database_now()
            job.status_reason = CANCELLED
            record(
                f"{job.kind}.cancelled",
                target=f"import:{job.uuid}",
                customer_id=job.customer_id,
                record_count=job.total,
            )
        if job.open_until is not None:
            end_open(job, reason=CANCELLED)
        elif _drop_unheld(job) or is_new:
            _save(job)
    return job


def end_open(job: ImportJob, *, reason: str) -> None:
    """Ends a job that still takes parts, with its row locked: the records of its parts count as unprocessed.

    They have their places in the job first, so that they can be fetched in the order they were sent in.
    """
    now = database_now()
    parts.arrange(job)
    job.open_until = None
    job.cancelled_at = job.cancelled_at or now
    job.status_reason = reason
    if not _drop_unheld(job):
        _finish(job, now)  # no part had come
    _save(job)


def give_up(job_id: int, *, reason: str) -> None:
    """Ends a job that cannot run: what is left of it counts as unprocessed and can be fetched to be sent again."""
    with audited():
        job = ImportJob.objects.select_for_update(no_key=True).get(pk=job_id)
        if job.is_finished:
            return
        job.cancelled_at = job.cancelled_at or database_now()
        job.status_reason = job.status_reason or reason
        _drop_unheld(job)
        _save(job)


def finish_cancelled() -> int:
    """Drops what a worker that died left pending in cancelled jobs; how many jobs were looked at."""
    jobs = list(ImportJob.objects.unfinished().filter(cancelled_at__isnull=False).values_list("pk", flat=True))
    for job_id in jobs:
        with audited():
            # One that somebody holds just now is left for the next time: nobody rings while this waits.
            job = ImportJob.objects.select_for_update(no_key=True, skip_locked=True).filter(pk=job_id).first()
            if job is not None and not job.is_finished and _drop_unheld(job):
                _save(job)
    return len(jobs)


def record_end(job: ImportJob, status: str, counts: list[int]) -> None:
    """The audit event of a job's end, with the address and request that began it; `counts` in the order of COUNTS."""
    actor = current_context().actor or Actor("system", "imports")
    with acting_as(actor, source_ip=job.source_ip, request_id=job.request_id):
        record(
            f"{job.kind}.{status}",
            target=f"import:{job.uuid}",
            customer_id=job.customer_id,
            record_count=counts[0],
            detail=dict(zip(COUNTS[1:], counts[1:], strict=True)),
        )


def _drop_unheld(job: ImportJob) -> bool:
    """With the job's row locked; False where nothing was left to drop. Batches that a worker holds are skipped, never
    waited for."""
    dropped = [batch.pk for batch in unheld(job.pk).only("pk")]
    if not dropped:
        return False
    batches = ImportBatch.objects.filter(pk__in=dropped)
    now = database_now()
    job.unprocessed += batches.aggregate(records=Sum("record_count"))["records"]
    job.batches_ended += len(dropped)
    batches.update(state=ImportBatch.State.DROPPED, ended_at=now)
    if job.batches_ended == job.batch_count:
        _finish(job, now)
    return True


def _save(job: ImportJob) -> None:
    job.revision += 1
    job.save(
        update_fields=[
            "cancelled_at",
            "status_reason",
            "unprocessed",
            "batches_ended",
            "status",
            "finished_at",
            "expires_at",
            "open_until",
            "revision",
        ]
    )
    after_commit(publishing.publish, job.pk, job.uuid, job.revision, final=job.is_finished)


def _finish(job: ImportJob, now: datetime) -> None:
    job.status = ImportJob.Status.FAILED
    job.finished_at = now
    job.expires_at = retention.ends_at(job.customer_id, now)
    scores.settle(job)
    record_end(job, job.status, [getattr(job, name) for name in COUNTS])
