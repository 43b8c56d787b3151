"""RQ's entry points: ids in, one call each. No error leaves them: RQ would log its text, and keep it in Valkey."""

import logging
import time
from typing import Final

from imports import confinement, doorbell, failpoints, session
from imports.confinement import is_asked_to_stop
from imports.processing import process_next
from imports.redriving import release_next
from imports.retrying import retry_next
from imports.undoing import undo_next

TURN_SECONDS: Final = 1.0

logger = logging.getLogger(__name__)


def work(job_id: int) -> None:
    """Works on whatever is next for about a second, then passes the turn on. `job_id` only says who rang."""
    failpoints.hit("message_taken")
    try:
        _take_turn(job_id)
    except MemoryError:
        confinement.end_over_memory()
        raise
    except Exception as err:
        worker = doorbell.worker_name()
        if session.is_away(err):
            # Or it keeps a lock from us: that is said in a line, and the sweeper rings again.
            cause = type(session.cause_of(err)).__name__
            logger.warning("turn_cut_short job=%s worker=%s cause=%s", job_id, worker, cause)
        else:
            logger.error("turn_failed job=%s worker=%s", job_id, worker, exc_info=err)


def _take_turn(job_id: int) -> None:
    deadline = time.monotonic() + TURN_SECONDS
    while _work_once():
        if time.monotonic() >= deadline:
            failpoints.hit("passing_on")
            doorbell.ring_on(job_id)
            return


def _work_once() -> bool:
    """A batch, some failed records and a batch of an undo, in turn, so that none waits for the end of another."""
    if is_asked_to_stop():
        return False
    has_processed = process_next(worker=doorbell.worker_name())
    return any((release_next(), retry_next(), undo_next())) or has_processed
