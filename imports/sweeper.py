"""What nobody rang for, or whose ring was lost, is rung for again. Any number of sweepers may run."""

import logging
from typing import Final

import redis
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef

from audit.clock import database_now
from customers import expiry as key_expiry
from customers.nonces import forget_expired
from imports import doorbell, erasure, expiry, key_rotation, opening, redriving, resolving, retention, retrying, undoing
from imports.claiming import due
from imports.ending import finish_cancelled
from imports.failpoints import hit
from imports.models import ImportBatch, ImportJob
from imports.stranded import end_stranded

SWEEP_SECONDS: Final = 0.5
JOBS_A_SWEEP: Final = 100
# What erased customers and expired imports leave goes in pauses of the ringing that nobody notices.
CLEARING_SECONDS: Final = 1.0

logger = logging.getLogger(__name__)


def sweep() -> int:
    """Rings for jobs with due batches that nobody holds while the queue is short of messages; how many it rang for.

    So a batch that was put off is rung for when it falls due, and nobody before that.
    """
    end_stranded()
    finish_cancelled()
    try:
        if doorbell.waiting() >= settings.WORKERS:
            return 0
    except redis.RedisError as err:
        logger.warning("doorbell_unreachable cause=%s", type(err).__name__)
        return 0
    rung = 0
    if retrying.is_due() or redriving.is_due() or undoing.is_due():
        doorbell.wake(0)
        rung += 1
    for job_id in (
        ImportJob.objects.closed()
        .unfinished()
        .filter(Exists(ImportBatch.objects.due().filter(job=OuterRef("pk"))), cancelled_at__isnull=True)
        .order_by("pk")
        .values_list("pk", flat=True)[:JOBS_A_SWEEP]
    ):
        if _is_left_alone(job_id):
            hit("sweeping")
            doorbell.ring(job_id)
            rung += 1
    return rung


def _is_left_alone(job_id: int) -> bool:
    with transaction.atomic():
        return due(job_id).only("pk").first() is not None


def tidy() -> None:
    """What has expired goes; what will expire soon is said."""
    resolving.resolve_overtaken()
    now = database_now()
    forget_expired(now)
    key_expiry.warn(now)
    retention.follow_settings()
    expiry.warn(now)
    opening.expire(now)
    key_rotation.begin_due()
    erasure.clear_away_for(CLEARING_SECONDS, now=now)
    retention.purge_for(CLEARING_SECONDS, now=now)
