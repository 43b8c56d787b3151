"""Failed records that are due are tried again: checks, mapping and store, under the origin they had.

The mapping is the one published now, not the one their job was accepted with: else to mend it would mend nothing.

A try is noted before the work (`tries`, and `next_attempt_at` some seconds ahead) and decided with it in one
transaction, so a worker that dies leaves the record due, and one that kills its workers does not do so for ever.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from audit.trail import audited
from customers.keyring import Keyring, hold, keyring
from imports import checking, failures, mappers, recounting, session, storing
from imports.confinement import begin_batch
from imports.failures import RetryPolicy, failure_row, retry_policy
from imports.models import FailedRecord, ImportBatch, ImportJob
from imports.outcome import BY_BYTE, Outcome
from imports.processing import sort_out
from imports.recounting import Move
from imports.timeouts import passing_reason

AT_A_TIME: Final = 1_000
# Where the worker dies meanwhile, the record is due again after the policy's pause, and not before this.
SHORTEST_PAUSE_SECONDS: Final = 2.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """Due failed records of one job with the same origin. `at` is the database's time of the note, its own token."""

    job_id: int
    origin_job_id: int
    failure_ids: list[int]
    at: datetime
    tries: int
    policy: RetryPolicy


def retry_next() -> bool:
    """Tries the failed records that are due next; False where none is. Raises only what ends the worker."""
    taken = _take()
    if taken is None:
        return False
    begin_batch()
    used = session.current()
    try:
        if taken.tries > max(taken.policy.tries, 1):
            # Noted so often and never decided: each of these workers died over it.
            _set_aside(taken)
        else:
            with audited():
                _try_again(taken)
    except MemoryError:
        # Over its limit: the work-horse ends, and the try that was noted counts.
        raise
    except Exception as err:
        if session.is_lost(used):
            raise
        passing = passing_reason(err)
        if passing is None:
            logger.error("retry_failed job=%s records=%s", taken.job_id, len(taken.failure_ids), exc_info=err)
        else:
            logger.warning("retry_put_off job=%s records=%s cause=%s", taken.job_id, len(taken.failure_ids), passing)
        if len(taken.failure_ids) == 1 and taken.tries >= max(taken.policy.tries, 1):
            _set_aside(taken, passing)
    return True


def is_due() -> bool:
    """Whether a failed record waits for a worker."""
    return _due().exists()


def _due() -> QuerySet[FailedRecord]:
    return FailedRecord.objects.filter(state__in=FailedRecord.UNRESOLVED, next_attempt_at__lte=Now())


def _take() -> Taken | None:
    """Notes the try of the first that is due and of those like it. One that was tried before is tried alone."""
    with transaction.atomic():
        free = _due().select_for_update(skip_locked=True, no_key=True)
        first = free.only("job_id", "customer_id", "edit_job_id", "tries").order_by("next_attempt_at").first()
        if first is None:
            return None
        ids = [first.pk]
        if first.tries == 0 and first.edit_job_id is None:
            alike = free.filter(job_id=first.job_id, tries=0, edit_job=None)
            ids = list(alike.order_by("next_attempt_at", "index").values_list("pk", flat=True)[:AT_A_TIME])
        policy = retry_policy(first.job_id)
        pause = max(policy.longest(first.tries + 1), SHORTEST_PAUSE_SECONDS)
        FailedRecord.objects.filter(pk__in=ids).update(
            attempts=F("attempts") + 1,
            tries=F("tries") + 1,
            tried_at=Now(),
            next_attempt_at=Now() + timedelta(seconds=pause),
        )
        at = FailedRecord.objects.values_list("tried_at", flat=True).get(pk=first.pk)
    assert at is not None  # noqa: S101 - written above
    return Taken(first.job_id, first.edit_job_id or first.job_id, ids, at, first.tries + 1, policy)


def _lock(taken: Taken) -> tuple[list[FailedRecord], dict[int, ImportBatch]]:
    """What is still as it was noted, locked; whoever discarded, edited or resolved one meanwhile keeps it."""
    chosen = FailedRecord.objects.filter(pk__in=taken.failure_ids)
    batches = recounting.lock_batches(chosen.values_list("batch_id", flat=True))
    rows = (
        chosen.filter(tried_at=taken.at, state__in=FailedRecord.UNRESOLVED)
        .select_for_update(skip_locked=True, no_key=True)
        .order_by("index")
    )
    return [row for row in rows if (row.edit_job_id or row.job_id) == taken.origin_job_id], batches


def _try_again(taken: Taken) -> None:
    """Within the caller's transaction, whose commit decides."""
    rows, batches = _lock(taken)
    if not rows:
        return
    job = ImportJob.objects.get(pk=taken.job_id)
    origin = job if taken.origin_job_id == job.pk else ImportJob.objects.get(pk=taken.origin_job_id)
    keys = keyring(job.customer_id)
    raws = [as_it_stands(row, job, keys) for row in rows]
    published = mappers.published(job.customer_id)
    sorted_out = sort_out(raws, superseded=frozenset(), first_index=0, keys=keys, mappers=published, seal=True)
    incoming = [record._replace(position=rows[record.position].index) for record in sorted_out.incoming]
    place_of = {row.index: place for place, row in enumerate(rows)}
    for outcome, indexes in storing.store(incoming, job=origin, data_key_id=sorted_out.data_key_id):
        for index in indexes:
            sorted_out.outcomes[place_of[index]] = outcome.byte
    outcomes = [BY_BYTE[byte] for byte in sorted_out.outcomes]
    stored = [(row, outcome) for row, outcome in zip(rows, outcomes, strict=True) if outcome is not Outcome.FAILED]
    FailedRecord.objects.filter(pk__in=[row.pk for row, _ in stored]).update(
        state=FailedRecord.State.RESOLVED, resolved_by=origin, next_attempt_at=None, updated_at=Now()
    )
    failed = [(rows[failure.index], failure.problems) for failure in sorted_out.failures]
    _write_failures(failed, job, keys, taken)
    moves = [Move(row.job_id, row.batch_id, row.index, row.type, outcome) for row, outcome in stored]
    recounting.move_outcomes(moves, batches)
    _count_for_redrives([row for row, _ in stored], [row for row, _ in failed])
    recounting.move_counts(moves)


def as_it_stands(row: FailedRecord, job: ImportJob, keys: Keyring) -> bytes:
    """The record as it is tried: as a person edited it, else as it was sent. Raises DecryptionError."""
    column, blob = ("edited", row.edited) if row.edited is not None else ("payload", row.payload)
    return keys.opener("imports_failedrecord", column).open(bytes(blob or b""), failure_row(job.uuid, row.index))


# The same row as before: when it first failed, its payload and its place in the job stay.
_FAILED_AGAIN: Final = """
    UPDATE imports_failedrecord SET state = 'open', stage = %s, code = %s, pointer = %s, message = %s, problems = %s,
        category = %s, group_key = %s, next_attempt_at = now() + %s, updated_at = now()
    WHERE id = %s
"""


def _write_failures(
    failed: Sequence[tuple[FailedRecord, list[checking.Problem]]], job: ImportJob, keys: Keyring, taken: Taken
) -> None:
    """The newest reason of each, and when it is tried again by itself, if at all."""
    if not failed:
        return
    sealer = keys.sealer("imports_failedrecord", "problems")
    rows: list[tuple[Any, ...]] = []
    for row, problems in failed:
        first = problems[0]
        category = failures.category_of(first)
        is_to_be_tried = category == FailedRecord.Category.RETRYABLE and taken.tries < taken.policy.tries
        rows.append(
            (
                first.stage,
                first.code,
                first.place[: failures.PLACE_LENGTH],
                first.message,
                sealer.seal(failures.encode_problems(problems), failure_row(job.uuid, row.index)),
                category.value,
                failures.group_key(row.type, first),
                taken.policy.pause(taken.tries + 1) if is_to_be_tried else None,
                row.pk,
            )
        )
    hold(job.customer_id, [sealer.data_key_id])
    with connection.cursor() as cursor:
        cursor.executemany(_FAILED_AGAIN, rows)


# The clock of the database after the work: the next ones come no sooner than their pace allows, whatever this took.
_COUNT: Final = """
    UPDATE imports_redrive SET
        succeeded = succeeded + %(succeeded)s, failed_again = failed_again + %(failed)s,
        due_at = CASE WHEN per_second IS NULL THEN due_at ELSE clock_timestamp() + interval '1 second' END
    WHERE id = %(redrive)s
"""


def _count_for_redrives(stored: Sequence[FailedRecord], failed: Sequence[FailedRecord]) -> None:
    """Only what the redrive handed out and nobody has counted yet."""
    succeeded = Counter(row.redrive_id for row in stored if row.state == FailedRecord.State.RETRYING)
    again = Counter(row.redrive_id for row in failed if row.state == FailedRecord.State.RETRYING)
    with connection.cursor() as cursor:
        for redrive in sorted(number for number in succeeded | again if number is not None):
            cursor.execute(_COUNT, {"succeeded": succeeded[redrive], "failed": again[redrive], "redrive": redrive})


def _set_aside(taken: Taken, code: str | None = None) -> None:
    """Waits for a person from now on, with the reason why no try came to its end; without one it was the worker's."""
    with audited():
        rows, _ = _lock(taken)
        job = ImportJob.objects.get(pk=taken.job_id)
        failed = [(row, [checking.Problem(code or _stopping_reason(row), "")]) for row in rows]
        _write_failures(failed, job, keyring(job.customer_id), taken)
        _count_for_redrives([], rows)


def _stopping_reason(row: FailedRecord) -> str:
    """No worker came to the end of it: most likely over the same limit as the first time, where it was one."""
    return row.code if row.code == "limit_exceeded" else "worker_stopped"
