"""Failed records that nobody has dealt with and that will expire with their import: said beforehand, once for each
import and threshold, for whoever sends alerts and for the trail. No record ends in silence."""

from datetime import datetime
from typing import Any, Final

from django.db import connection

from audit.trail import audited, record

THRESHOLD_DAYS: Final = (7, 1)
_AT_ONCE: Final = 500

# The nearest threshold only. A retention no longer than a threshold passes it as soon as the import has ended.
_WARN: Final = """
    INSERT INTO imports_retentionwarning (job_id, days, count, at)
    SELECT job.id, passed.days, waiting.count, %(now)s
    FROM imports_importjob job
    JOIN LATERAL (
        SELECT min(days) AS days FROM unnest(%(thresholds)s) days
        WHERE job.expires_at <= %(now)s + days * interval '1 day'
            AND (days = %(last)s OR job.expires_at > job.finished_at + days * interval '1 day')
    ) passed ON passed.days IS NOT NULL
    JOIN LATERAL (
        SELECT count(*) AS count FROM imports_failedrecord
        WHERE job_id = job.id AND state IN ('open', 'retrying')
    ) waiting ON waiting.count > 0
    WHERE job.purged_at IS NULL AND job.expired_at IS NULL AND job.finished_at IS NOT NULL AND job.failed > 0
        AND job.expires_at <= %(now)s + %(first)s * interval '1 day'
        AND NOT EXISTS (
            SELECT FROM imports_retentionwarning told WHERE told.job_id = job.id AND told.days = passed.days
        )
    ORDER BY job.id LIMIT %(most)s
    ON CONFLICT ON CONSTRAINT retention_warning_once_a_threshold DO NOTHING
    RETURNING job_id, days, count
"""
_NAMES: Final = "SELECT id, uuid, customer_id FROM imports_importjob WHERE id = ANY(%s)"


def warn(now: datetime) -> int:
    """A RetentionWarning and an audit event for every import that has passed a threshold since the last call; how many.

    Any number of sweepers may call it: each warning is made once. Callers stand inside acting_as().
    """
    warned = 0
    while True:
        count = _warn_some(now)
        warned += count
        if count < _AT_ONCE:
            return warned


def _warn_some(now: datetime) -> int:
    parameters: dict[str, Any] = {
        "now": now,
        "thresholds": list(THRESHOLD_DAYS),
        "first": max(THRESHOLD_DAYS),
        "last": min(THRESHOLD_DAYS),
        "most": _AT_ONCE,
    }
    with audited(), connection.cursor() as cursor:
        cursor.execute(_WARN, parameters)
        passed = cursor.fetchall()
        cursor.execute(_NAMES, [[job_id for job_id, _, _ in passed]])
        jobs = {job_id: (job_uuid, customer_id) for job_id, job_uuid, customer_id in cursor.fetchall()}
        for job_id, days, count in passed:
            job_uuid, customer_id = jobs[job_id]
            record(
                "failed_records.expiring",
                target=f"import:{job_uuid}",
                customer_id=customer_id,
                record_count=count,
                detail={"days": days},
            )
    return len(passed)
