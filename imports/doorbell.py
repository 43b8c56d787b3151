"""The only module that knows the queue. A ring wakes a worker and says nothing more: PostgreSQL holds the work."""

import logging
import os
import time
from functools import cache
from typing import Final

import redis
from django.conf import settings
from rq import Queue, get_current_job
from rq.exceptions import DuplicateJobError
from rq.serializers import JSONSerializer

from imports import failpoints
from imports.models import ImportBatch

QUEUE: Final = "imports"
ENTRY_POINT: Final = "imports.tasks.work"
WORK_SECONDS_LIMIT: Final = 300
FAILED_MESSAGE_SECONDS: Final = 3600

logger = logging.getLogger(__name__)


def ring(job_id: int) -> None:
    """Wakes as many workers as the job has batches to begin, at most all of them.

    Never raises: where Valkey is away the sweeper rings again later. Ringing twice within a second is one ring.
    """
    failpoints.hit("accepted")
    due = ImportBatch.objects.due().filter(job_id=job_id)[: settings.WORKERS].count()
    second = int(time.time())
    for bell in range(due):
        if not _enqueue(job_id, message_id=f"{QUEUE}-{job_id}-{bell}-{second}"):
            return  # one wait for a Valkey that hangs is enough: a caller may be waiting for its 202


def wake(number: int) -> None:
    """Wakes one worker for failed records that are due; `number` only tells one cause from another. Never raises."""
    _enqueue(number, message_id=f"{QUEUE}-retry-{number}-{int(time.time())}")


def ring_on(job_id: int) -> None:
    """A worker that ends its turn with work left passes its place on: one message for one message."""
    _enqueue(job_id, message_id=None)


def waiting() -> int:
    """How many messages no worker has taken yet; raises redis.RedisError."""
    return int(queue().count)


def worker_name() -> str:
    """The worker whose turn this is, for the note of its attempts."""
    job = get_current_job()
    return (job.worker_name if job is not None else None) or f"pid {os.getpid()}"


@cache
def queue() -> Queue:
    """The imports queue, with the JSON serializer: a message is never unpickled.

    Its waits are short, since callers ring; RQ's worker lengthens its own.
    """
    connection = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
    return Queue(QUEUE, connection=connection, serializer=JSONSerializer)


def _enqueue(job_id: int, *, message_id: str | None) -> bool:
    """False where Valkey is away."""
    try:
        queue().enqueue_call(
            ENTRY_POINT,
            args=(job_id,),
            job_id=message_id,
            unique=message_id is not None,
            timeout=WORK_SECONDS_LIMIT,
            result_ttl=0,
            failure_ttl=FAILED_MESSAGE_SECONDS,
            description="work",
        )
        failpoints.hit("rung")
    except DuplicateJobError:
        logger.debug("doorbell_already_rung job=%s", job_id)
    except redis.RedisError as err:
        logger.warning("doorbell_silent job=%s cause=%s", job_id, type(err).__name__)
        return False
    return True
