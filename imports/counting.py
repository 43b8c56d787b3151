"""A batch's outcomes into the counters of its job, whose end they may be."""

from collections import Counter
from typing import Final

from django.db import connection

from imports import ending, publishing
from imports.after_commit import after_commit
from imports.models import ImportJob
from imports.outcome import Outcome
from imports.quality import scores

# The last statement but those of the job's end and the audit's: the job's row is locked for no longer than they take.
_COUNT: Final = """
    UPDATE imports_importjob SET
        processed = processed + %(processed)s, created = created + %(created)s, updated = updated + %(updated)s,
        unchanged = unchanged + %(unchanged)s, superseded = superseded + %(superseded)s, failed = failed + %(failed)s,
        batches_ended = batches_ended + 1, revision = revision + 1, started_at = coalesce(started_at, now()),
        status = CASE WHEN batches_ended + 1 < batch_count THEN 'processing'
            WHEN cancelled_at IS NULL THEN 'completed' ELSE 'failed' END,
        finished_at = CASE WHEN batches_ended + 1 < batch_count THEN NULL ELSE clock_timestamp() END,
        expires_at = CASE WHEN batches_ended + 1 < batch_count THEN expires_at ELSE clock_timestamp()
            + (SELECT retention_days FROM customers_customer WHERE id = customer_id) * interval '1 day' END
    WHERE id = %(job)s
    RETURNING status, revision, total, created, updated, unchanged, superseded, failed, unprocessed
"""


def count_batch(job: ImportJob, outcomes: bytes) -> None:
    """Within the batch's transaction, as its last step: `outcomes` holds one byte a record."""
    counts = Counter(outcomes)
    by_label = {outcome.label: counts[outcome.byte] for outcome in Outcome}
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {**by_label, "processed": counts.total(), "job": job.pk})
        status, revision, *totals = cursor.fetchone()
    has_ended = status not in ImportJob.UNFINISHED
    if has_ended:
        scores.settle(job)
        ending.record_end(job, status, totals)
    after_commit(publishing.publish, job.pk, job.uuid, revision, final=has_ended)
