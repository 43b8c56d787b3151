"""RQ's entry points: ids in, one call each."""

import time
from typing import Final

from imports import doorbell, failpoints
from imports.confinement import is_asked_to_stop
from imports.processing import process_next
from imports.redriving import release_next
from imports.retrying import retry_next

TURN_SECONDS: Final = 1.0


def work(job_id: int) -> None:
    """Works on whatever is next for about a second, then passes the turn on. `job_id` only says who rang."""
    failpoints.hit("message_taken")
    deadline = time.monotonic() + TURN_SECONDS
    while _work_once():
        if time.monotonic() >= deadline:
            failpoints.hit("passing_on")
            doorbell.ring_on(job_id)
            return


def _work_once() -> bool:
    """A batch and some failed records, in turn, so that neither waits for the end of the other."""
    if is_asked_to_stop():
        return False
    has_processed = process_next(worker=doorbell.worker_name())
    return any((release_next(), retry_next())) or has_processed
