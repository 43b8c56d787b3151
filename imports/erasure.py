"""What follows a customer's erasure: its jobs end, and its ciphertext, which nobody opens any more, makes room."""

import time
from datetime import datetime
from typing import Final

from django.db import connection

from audit.trail import audited
from customers import erasure
from customers.models import Customer
from imports import ending
from imports.models import ImportJob

REASON: Final = "customer_erased"
_AT_ONCE: Final = 5_000

# In portions, each a transaction, in the order of the rows' keys; those that a worker holds come with the next call.
_EMPTY: Final = (
    """
    DELETE FROM imports_record WHERE id IN (
        SELECT id FROM imports_record WHERE customer_id = %(customer)s
        ORDER BY type, key LIMIT %(most)s FOR UPDATE SKIP LOCKED
    )
    """,
    """
    DELETE FROM imports_recordversion WHERE id IN (
        SELECT id FROM imports_recordversion WHERE customer_id = %(customer)s
        ORDER BY type, key, job_id, index LIMIT %(most)s FOR UPDATE SKIP LOCKED
    )
    """,
    """
    DELETE FROM imports_failedrecord WHERE id IN (
        SELECT t.id FROM imports_importjob job JOIN imports_failedrecord t ON t.job_id = job.id
        WHERE job.customer_id = %(customer)s ORDER BY t.job_id, t.index LIMIT %(most)s FOR UPDATE OF t SKIP LOCKED
    )
    """,
    """
    UPDATE imports_importbatch SET payload = NULL WHERE id IN (
        SELECT t.id FROM imports_importjob job JOIN imports_importbatch t ON t.job_id = job.id
        WHERE job.customer_id = %(customer)s AND t.payload IS NOT NULL AND t.state <> 'pending'
        ORDER BY t.job_id, t.sequence LIMIT %(most)s FOR NO KEY UPDATE OF t SKIP LOCKED
    )
    """,
)


def erase(customer: Customer, *, now: datetime) -> bool:
    """Erases the customer and ends its jobs. False where it had been erased before; then what was left over is done."""
    erased = erasure.erase(customer, now=now)
    end_jobs(customer)
    return erased


def end_jobs(customer: Customer) -> None:
    """Drops what no worker has begun. A batch under way can no longer be stored and goes with the next sweep."""
    for job_id in ImportJob.objects.unfinished().filter(customer=customer).order_by("pk").values_list("pk", flat=True):
        with audited():
            job = ImportJob.objects.select_for_update(no_key=True).get(pk=job_id)
            if job.open_until is not None:
                ending.end_open(job, reason=REASON)
            else:
                ending.give_up(job_id, reason=REASON)


def clear_away_for(seconds: float, *, now: datetime) -> None:
    """Clears away until nothing is left or the time is up."""
    deadline = time.monotonic() + seconds
    while clear_away(now) and time.monotonic() < deadline:
        pass


def clear_away(now: datetime) -> int:
    """For each erased customer: its jobs end, its ciphertext goes. A portion a table at each call; how many rows.

    Every step finds by the rows what is left to do, so it may be killed at any moment.
    """
    cleared = 0
    for customer in Customer.objects.filter(erased_at__lte=now).order_by("pk"):
        end_jobs(customer)
        for statement in _EMPTY:
            with connection.cursor() as cursor:
                cursor.execute(statement, {"customer": customer.pk, "most": _AT_ONCE})
                cleared += cursor.rowcount
    return cleared
