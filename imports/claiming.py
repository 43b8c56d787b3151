"""Which batch is next, and whose it is now. A claim is the batch's row lock and ends with its transaction."""

from typing import Final

from django.db import connection
from django.db.models import QuerySet

from imports.models import ImportBatch

_JOBS_LOOKED_AT: Final = 50

# The customer served longest ago comes first, and of its jobs the oldest: a small import never waits for a big one.
_NEXT_JOBS: Final = """
    SELECT job.id
    FROM imports_importjob job
    LEFT JOIN LATERAL (
        SELECT attempt.started_at FROM imports_batchattempt attempt
        WHERE attempt.customer_id = job.customer_id
        ORDER BY attempt.started_at DESC LIMIT 1
    ) served ON true
    WHERE job.status IN ('pending', 'processing') AND job.cancelled_at IS NULL AND job.open_until IS NULL
        AND EXISTS (
            SELECT FROM imports_importbatch batch
            WHERE batch.job_id = job.id AND batch.state = 'pending' AND (batch.due_at IS NULL OR batch.due_at <= now())
        )
    ORDER BY served.started_at NULLS FIRST, job.id
    LIMIT %s
"""


def claim() -> ImportBatch | None:
    """A batch that is due and that nobody else holds, locked until the surrounding transaction ends, or None."""
    with connection.cursor() as cursor:
        cursor.execute(_NEXT_JOBS, [_JOBS_LOOKED_AT])
        jobs = [job for (job,) in cursor.fetchall()]
    for job in jobs:
        batch = due(job).first()
        if batch is not None:
            return batch
    return None


def due(job_id: int) -> QuerySet[ImportBatch]:
    """The job's batches that a worker may begin now, locked as they are read, never waiting."""
    return _unheld(ImportBatch.objects.due(), job_id)


def unheld(job_id: int) -> QuerySet[ImportBatch]:
    """The same with those that are put off: all pending batches that no worker holds."""
    return _unheld(ImportBatch.objects.filter(state=ImportBatch.State.PENDING), job_id)


def _unheld(batches: QuerySet[ImportBatch], job_id: int) -> QuerySet[ImportBatch]:
    return batches.filter(job_id=job_id).select_for_update(skip_locked=True, no_key=True).order_by("sequence")
