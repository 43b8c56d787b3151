"""The end of an import's retention: what was sent goes, on time; counts, codes, outcomes and the audit trail stay.

What is left to do is read off the rows, portion by portion, each a transaction, so it may be killed at any moment and
run by any number of sweepers. What somebody holds is left for the next time. Records are what the imports made of it
all and have no end here.
"""

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction

from audit.trail import audited, record
from customers.models import Customer
from imports.models import ImportJob

JOBS_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Content:
    """Where content of a job lies. `place` orders its rows within the job, `holds` says which of them still hold any.

    `remove` takes it out of the rows t that `found` names; `at_once` rows go in one transaction.
    """

    table: str
    place: str
    holds: str
    remove: str
    at_once: int


CONTENT: Final = (
    Content(
        "imports_failedrecord",
        place='"index"',
        holds="payload IS NOT NULL",
        remove="""
            UPDATE imports_failedrecord t SET payload = NULL, problems = NULL, edited = NULL, key = NULL,
                next_attempt_at = NULL, updated_at = now(),
                state = CASE WHEN state IN ('open', 'retrying') THEN 'expired' ELSE state END
            FROM found WHERE t.id = found.id
        """,
        at_once=5_000,
    ),
    Content(
        "imports_recordversion",
        place='"index"',
        holds="true",
        remove="DELETE FROM imports_recordversion t USING found WHERE t.id = found.id",
        at_once=5_000,
    ),
    Content(
        "imports_importbatch",
        place="sequence",
        holds="payload IS NOT NULL",
        remove="UPDATE imports_importbatch t SET payload = NULL FROM found WHERE t.id = found.id",
        at_once=50,
    ),
)
"""In the order in which they go: nothing can be tried again of which the results have gone."""


def ends_at(customer_id: int, since: datetime) -> datetime:
    """When the retention of a job ends that is finished, or accepted, at `since`."""
    days = Customer.objects.values_list("retention_days", flat=True).get(pk=customer_id)
    return since + timedelta(days=days)


def is_over(job: ImportJob, now: datetime) -> bool:
    """Whether nothing that was sent with the job is given out any more, removed or not."""
    return job.expired_at is not None or (job.is_finished and job.expires_at <= now)


# The index has both ends at hand, so a customer whose imports all agree with its setting costs two looks. An hour is
# far below the day that settings differ by, and above what lies between two readings of the clock.
_DIFFERING: Final = """
    SELECT customer.id, customer.retention_days
    FROM customers_customer customer
    JOIN LATERAL (
        SELECT expires_at - coalesce(finished_at, created_at) AS kept FROM imports_importjob
        WHERE customer_id = customer.id AND expired_at IS NULL ORDER BY 1 LIMIT 1
    ) least ON true
    JOIN LATERAL (
        SELECT expires_at - coalesce(finished_at, created_at) AS kept FROM imports_importjob
        WHERE customer_id = customer.id AND expired_at IS NULL ORDER BY 1 DESC LIMIT 1
    ) most ON true
    WHERE least.kept < customer.retention_days * interval '1 day' - interval '1 hour'
        OR most.kept > customer.retention_days * interval '1 day' + interval '1 hour'
    ORDER BY customer.id
"""
_SET_ANEW: Final = """
    UPDATE imports_importjob SET expires_at = coalesce(finished_at, created_at) + %(days)s * interval '1 day'
    WHERE id IN (
        SELECT id FROM imports_importjob
        WHERE customer_id = %(customer)s AND expired_at IS NULL
            AND expires_at - coalesce(finished_at, created_at) NOT BETWEEN
                %(days)s * interval '1 day' - interval '1 hour' AND %(days)s * interval '1 day' + interval '1 hour'
        ORDER BY id LIMIT %(most)s FOR NO KEY UPDATE SKIP LOCKED
    )
"""
_SET_AT_ONCE: Final = 5_000


def follow_settings() -> int:
    """A customer's retention holds for all its imports that have not expired: sets their ends anew; how many."""
    changed = 0
    with connection.cursor() as cursor:
        cursor.execute(_DIFFERING)
        for customer_id, days in cursor.fetchall():
            while True:
                cursor.execute(_SET_ANEW, {"customer": customer_id, "days": days, "most": _SET_AT_ONCE})
                changed += cursor.rowcount
                if cursor.rowcount < _SET_AT_ONCE:
                    break
    return changed


def purge_for(seconds: float, *, now: datetime) -> int:
    """Purges what has expired until nothing is left or the time is up; how many rows lost their content."""
    purged, deadline = 0, time.monotonic() + seconds
    for count in purge(now):
        purged += count
        if time.monotonic() >= deadline:
            break
    return purged


def purge(now: datetime) -> Generator[int]:
    """One pass over the finished jobs whose retention has ended: how many rows each portion freed of their content."""
    after: tuple[datetime, int] | None = None
    while True:
        jobs = _begin(now, after)
        if not jobs:
            return
        after = jobs[-1][1], jobs[-1][0]
        ids = [job_id for job_id, _ in jobs]
        for content in CONTENT:
            yield from _remove(content, ids)
        _finish(ids, now)
        if len(jobs) < JOBS_AT_ONCE:
            return


# From here on nobody is given any of the content, and the retention can not be set anew. An undo that runs is waited
# for: half of what the import replaced would be put back, and the other half be gone.
_BEGIN: Final = """
    WITH due AS (
        SELECT id, expires_at FROM imports_importjob
        WHERE purged_at IS NULL AND expires_at <= %(now)s AND status IN ('completed', 'failed') {beyond}
            AND NOT EXISTS (
                SELECT FROM imports_undo undo WHERE undo.job_id = imports_importjob.id AND undo.state = 'running'
            )
        ORDER BY expires_at, id LIMIT %(most)s FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE imports_importjob job SET expired_at = coalesce(expired_at, %(now)s), metadata = NULL,
        body_digest = '', idempotency_digest = NULL
    FROM due WHERE job.id = due.id
    RETURNING job.id, job.expires_at
"""


_FORGET_PARTS: Final = "UPDATE imports_importpart SET body_digest = '' WHERE job_id = ANY(%s)"


def _begin(now: datetime, after: tuple[datetime, int] | None) -> list[tuple[int, datetime]]:
    """(id, end) of the next jobs that are due or were begun before, in the order of their ends."""
    parameters: dict[str, Any] = {"now": now, "most": JOBS_AT_ONCE}
    beyond = ""
    if after is not None:
        beyond = "AND (expires_at, id) > (%(after_end)s, %(after_id)s)"
        parameters |= {"after_end": after[0], "after_id": after[1]}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_BEGIN.format(beyond=beyond), parameters)
        jobs = sorted(cursor.fetchall(), key=lambda job: (job[1], job[0]))
        cursor.execute(_FORGET_PARTS, [[job_id for job_id, _ in jobs]])
    return jobs


_REMOVE: Final = """
    WITH found AS MATERIALIZED (
        SELECT id, job_id, {place} AS place FROM {table}
        WHERE job_id = ANY(%(jobs)s) AND {holds} AND (job_id, {place}) > (%(after_job)s, %(after_place)s)
        ORDER BY job_id, {place} LIMIT %(most)s FOR NO KEY UPDATE SKIP LOCKED
    ), removed AS ({remove} RETURNING t.id)
    SELECT count(*) OVER (), job_id, place FROM found ORDER BY job_id DESC, place DESC LIMIT 1
"""


def _remove(content: Content, job_ids: Sequence[int]) -> Iterator[int]:
    statement = _REMOVE.format(
        place=content.place, table=content.table, holds=content.holds, remove=content.remove.strip()
    )
    after_job, after_place = 0, -1
    while True:
        with connection.cursor() as cursor:
            parameters = {"after_job": after_job, "after_place": after_place, "most": content.at_once}
            cursor.execute(statement, {"jobs": list(job_ids), **parameters})
            last = cursor.fetchone()
        if last is None:
            return
        count, after_job, after_place = last
        yield count
        if count < content.at_once:
            return


_FINISH: Final = """
    WITH empty AS (
        SELECT id FROM imports_importjob job
        WHERE id = ANY(%(jobs)s) AND purged_at IS NULL AND NOT ({still_held})
        ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE imports_importjob job SET purged_at = %(now)s FROM empty WHERE job.id = empty.id
    RETURNING job.id, job.uuid, job.kind, job.customer_id, job.total,
        (SELECT count(*) FROM imports_importbatch WHERE job_id = job.id),
        (SELECT count(*) FROM imports_failedrecord WHERE job_id = job.id),
        (SELECT count(*) FROM imports_failedrecord WHERE job_id = job.id AND state = 'expired')
"""


def still_held(job: str) -> str:
    """SQL that is true while content of the job of the alias `job` is left, whatever its state says."""
    looks = (f"EXISTS (SELECT FROM {content.table} WHERE job_id = {job}.id AND {content.holds})" for content in CONTENT)
    return " OR ".join((f"{job}.metadata IS NOT NULL", *looks))


def _finish(job_ids: Sequence[int], now: datetime) -> None:
    """Notes and records the jobs of which nothing is left; those of which somebody holds a row come with the next."""
    with audited(), connection.cursor() as cursor:
        cursor.execute(_FINISH.format(still_held=still_held("job")), {"jobs": list(job_ids), "now": now})
        for _, job_uuid, kind, customer_id, total, batches, failed, expired in sorted(cursor.fetchall()):
            if kind == ImportJob.Kind.EDIT:
                continue  # its content lay with the import that it mended
            record(
                "import.purged",
                target=f"import:{job_uuid}",
                customer_id=customer_id,
                record_count=total,
                detail={"batches": batches, "failed_records": failed, "expired": expired},
            )
