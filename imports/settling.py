"""What becomes of a batch whose attempt did not end well: free for another, put off, or taken apart.

Whatever is in the way stands alone in the end, as a failed record with its reason, and all others are stored. Only a
fault that no taking apart can mend, a payload that does not open, ends the job.
"""

import logging
from datetime import timedelta
from typing import Final

from django.db import DatabaseError, transaction
from django.db.models.functions import Now

from audit.clock import database_now
from audit.trail import audited
from customers.keyring import keyring
from imports import attempts, checking, counting, ending, failures, session, timeouts
from imports.failures import Failure, store_failures
from imports.isolating import CannotSplit, TooManyPieces, split
from imports.models import ImportBatch, ImportJob
from imports.outcome import Outcome
from imports.quality.tally import UNKNOWN, of_one

MAX_ERRORS: Final = 3
MAX_KILLS: Final = 3
# So long waits what another try would meet again just now: a table that is locked for long, a server that is full.
LONG_PAUSE_SECONDS: Final = 60

logger = logging.getLogger(__name__)


def settle(err: Exception, batch: ImportBatch) -> None:
    """After an error of no known kind rolled the batch back: it is free again, or at the third time taken apart."""
    logger.error("batch_failed batch=%s job=%s", batch.pk, batch.job_id, exc_info=err)
    if attempts.failed_before(batch) >= MAX_ERRORS:
        _take_apart_if_free(batch, code="internal_error")


def settle_passing(code: str, batch: ImportBatch) -> None:
    """After a time-out rolled the batch back: it is put off by its job's retry policy, then taken apart.

    A piece of such a batch has no more than one try, so that what is locked is soon found. What the whole server lacks
    is waited for.
    """
    policy = failures.retry_policy(batch.job_id)
    met = attempts.timed_out_before(batch)
    if code == timeouts.SERVER_IS_FULL:
        put_off(batch, code, min(policy.pause(met), timedelta(seconds=LONG_PAUSE_SECONDS)))
    elif met <= policy.tries and not batch.is_suspect:
        put_off(batch, code, policy.pause(met))
    else:
        _take_apart_if_free(batch, code=code)


def put_off(batch: ImportBatch, code: str, pause: timedelta) -> None:
    """Nobody claims it for so long, by the database's clock; then the sweeper rings. One that is held is left alone."""
    with transaction.atomic():
        if _free(batch) is not None:
            ImportBatch.objects.filter(pk=batch.pk).update(due_at=Now() + pause)
    seconds = round(pause.total_seconds(), 1)
    logger.warning("batch_put_off batch=%s job=%s cause=%s seconds=%s", batch.pk, batch.job_id, code, seconds)


def take_apart(batch: ImportBatch, *, code: str) -> None:
    """With the batch's row locked: it is in pieces, or its only record has failed by `code`. Raises CannotSplit.

    One that a later record of the job replaces is superseded all the same: nobody is to try it again.
    """
    raw = split(batch, is_suspect=code in timeouts.CODES)
    if raw is None:
        logger.warning("batch_split batch=%s job=%s cause=%s", batch.pk, batch.job_id, code)
        return
    job, now = ImportJob.objects.get(pk=batch.job_id), database_now()
    is_failed = not batch.superseded
    if is_failed:
        failure = Failure(batch.first_index, raw, [checking.Problem(code, "")])
        store_failures([failure], job=job, batch=batch, keys=keyring(batch.customer_id), now=now)
    batch.state = ImportBatch.State.DONE
    record_type = checking.identity(raw)[1]
    batch.outcomes = bytes([(Outcome.FAILED if is_failed else Outcome.SUPERSEDED).byte])
    batch.by_type = {record_type or UNKNOWN: {"processed": 1, "failed": int(is_failed)}}
    batch.quality = of_one(record_type, "unjudged" if is_failed or not raw else "repeated")
    batch.ended_at = now
    batch.save(update_fields=["state", "outcomes", "by_type", "quality", "ended_at"])
    logger.error("record_set_apart job=%s index=%s cause=%s", batch.job_id, batch.first_index, code)
    counting.count_batch(job, batch.outcomes)


def give_up(batch: ImportBatch, fault: Exception) -> None:
    """Nothing of the batch can be stored, so its job ends."""
    logger.error("job_given_up batch=%s job=%s", batch.pk, batch.job_id, exc_info=fault)
    ending.give_up(batch.job_id, reason="internal_error")


def _take_apart_if_free(batch: ImportBatch, *, code: str) -> None:
    used = None
    try:
        with audited():
            used = session.current()
            pending = _free(batch)
            if pending is not None:
                take_apart(pending, code=code)
    except (CannotSplit, DatabaseError) as fault:
        if session.is_lost(used):
            raise
        if _may_pass(fault, code):
            put_off(batch, code, timedelta(seconds=LONG_PAUSE_SECONDS))
        else:
            give_up(batch, fault)


def _may_pass(fault: Exception, code: str) -> bool:
    if isinstance(fault, TooManyPieces):
        return code in timeouts.CODES
    return timeouts.passing_reason(fault) is not None or isinstance(fault.__cause__, timeouts.CROSSED)


def _free(batch: ImportBatch) -> ImportBatch | None:
    """The batch, locked, unless somebody holds it or has ended it meanwhile."""
    free = ImportBatch.objects.select_for_update(skip_locked=True, no_key=True)
    return free.filter(pk=batch.pk, state=ImportBatch.State.PENDING).first()
