"""A later import of the same record resolves its failure, without a hand on it."""

from collections.abc import Sequence
from typing import Any, Final

from django.db import connection
from django.db.models.functions import Now

from audit.trail import audited
from imports import recounting
from imports.models import FailedRecord, ImportJob, Record
from imports.outcome import Outcome
from imports.recounting import Move
from imports.storing import Incoming

KEY_BYTES: Final = 16
OVERTAKEN_AT_A_TIME: Final = 1_000
OVERTAKEN_LOOKED_AT: Final = 50_000

# One look into an index that holds unresolved failures alone: a customer without any pays no more than this.
_ANY: Final = """
    SELECT EXISTS (
        SELECT FROM imports_failedrecord
        WHERE customer_id = %(customer)s AND key IS NOT NULL AND state IN ('open', 'retrying') AND job_id < %(job)s
    )
"""
# A key stands for type and id. All of them travel as one value: as an array they took twenty times as long to send as
# to look up.
_OF_EARLIER_JOBS: Final = """
    SELECT failed.id, failed.batch_id
    FROM generate_series(0, %(count)s - 1) AS place
    JOIN imports_failedrecord failed ON failed.key = substr(%(keys)s::bytea, 1 + place * %(size)s, %(size)s)
    WHERE failed.customer_id = %(customer)s AND failed.key IS NOT NULL AND failed.state IN ('open', 'retrying')
        AND failed.job_id < %(job)s AND coalesce(failed.edit_job_id, failed.job_id) < %(job)s
"""
# Where the later import came first, or both were under way at once, neither saw the other. The record's type may be
# another than the failure was sent with; the list of all types keeps the look-up on the index.
_OVERTAKEN: Final = """
    SELECT failed.id, failed.batch_id, record.origin_job_id
    FROM imports_failedrecord failed
    JOIN imports_record record
        ON record.customer_id = failed.customer_id AND record.type = ANY(%(types)s) AND record.key = failed.key
    WHERE failed.state IN ('open', 'retrying') AND failed.key IS NOT NULL
        AND failed.id > (SELECT max(id) FROM imports_failedrecord) - %(newest)s
        AND record.origin_job_id > coalesce(failed.edit_job_id, failed.job_id)
    ORDER BY failed.id LIMIT %(limit)s
"""


class Older:
    """Failed records that an import is about to resolve, locked with their batches until it commits."""

    def __init__(self, failures: Sequence[FailedRecord], batches: dict[int, Any]) -> None:
        self.failures = failures
        self._batches = batches

    def resolve(self, *, by: int) -> list[Move]:
        """Each is superseded by the job of the number `by`; the moves are still to be counted for their jobs."""
        FailedRecord.objects.filter(pk__in=[failure.pk for failure in self.failures]).update(
            state=FailedRecord.State.RESOLVED, resolved_by=by, next_attempt_at=None, updated_at=Now()
        )
        moves = [
            Move(failure.job_id, failure.batch_id, failure.index, failure.type, Outcome.SUPERSEDED)
            for failure in self.failures
        ]
        recounting.move_outcomes(moves, self._batches)
        return moves


def lock_older(incoming: Sequence[Incoming], *, job: ImportJob) -> Older | None:
    """Unresolved failures of these records in earlier jobs of the customer; None where there are none.

    Call it before the records are written: a failed record is locked before a record.
    """
    parameters: dict[str, Any] = {"customer": job.customer_id, "job": job.pk}
    with connection.cursor() as cursor:
        cursor.execute(_ANY, parameters)
        if not cursor.fetchone()[0]:
            return None
        parameters |= {"count": len(incoming), "keys": b"".join(record.key for record in incoming), "size": KEY_BYTES}
        cursor.execute(_OF_EARLIER_JOBS, parameters)
        found = cursor.fetchall()
    return _lock(found) if found else None


def resolve_overtaken() -> int:
    """Resolves failures whose record a later job stored meanwhile; how many. Any number of sweepers may call it."""
    with connection.cursor() as cursor:
        cursor.execute(
            _OVERTAKEN, {"types": Record.Type.values, "newest": OVERTAKEN_LOOKED_AT, "limit": OVERTAKEN_AT_A_TIME}
        )
        found = cursor.fetchall()
    by_resolver: dict[int, list[tuple[int, int]]] = {}
    for failure, batch, resolver in found:
        by_resolver.setdefault(resolver, []).append((failure, batch))
    resolved = 0
    for resolver, failures in sorted(by_resolver.items()):
        with audited():
            older = _lock(failures)
            recounting.move_counts(older.resolve(by=resolver))
            resolved += len(older.failures)
    return resolved


def _lock(found: Sequence[tuple[int, int]]) -> Older:
    batches = recounting.lock_batches(batch for _, batch in found)
    failures = (
        FailedRecord.objects.filter(pk__in=[failure for failure, _ in found], state__in=FailedRecord.UNRESOLVED)
        .select_for_update(no_key=True)
        .only("job_id", "batch_id", "index", "type")
        .order_by("type", "key", "pk")
    )
    return Older(list(failures), batches)
