"""RQ's entry points: ids in, one call each."""

import time
from typing import Final

from imports import doorbell, failpoints
from imports.processing import process_next

TURN_SECONDS: Final = 1.0


def work(job_id: int) -> None:
    """Works on whatever is next for about a second, then passes the turn on. `job_id` only says who rang."""
    failpoints.hit("message_taken")
    deadline = time.monotonic() + TURN_SECONDS
    while process_next(worker=doorbell.worker_name()):
        if time.monotonic() >= deadline:
            failpoints.hit("passing_on")
            doorbell.ring_on(job_id)
            return
