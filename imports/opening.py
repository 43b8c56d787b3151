"""A job that is sent in parts begins: it has metadata and a number, and takes parts until it is closed."""

import uuid
from datetime import datetime, timedelta
from typing import Final

from audit.clock import database_now
from audit.trail import audited, record
from customers.cipher import data_key_id_of
from customers.keyring import hold, keyring
from customers.models import Customer
from imports import ending, retention
from imports.envelope import Opening, open_opening
from imports.failures import wanted_policy
from imports.intake import Submission, digest_of_key, repeated_job, take_turn
from imports.models import ImportJob
from imports.parts import IDLE_HOURS
from imports.refusal import Refusal

MAX_OPEN_JOBS: Final = 20
OPEN: Final = "open"
EXPIRED: Final = "expired"
RETRY_AFTER_SECONDS: Final = 60


def open_job(submission: Submission) -> ImportJob:
    """The committed open job; for a repeated idempotency key the one that exists, however far it is. Raises Refusal.

    Its number is taken now: a job accepted later is newer, whichever of them is processed first. With
    `"dryRun": true` in the body it is a dry run.
    """
    opening = open_opening(submission.body)
    kind = ImportJob.Kind.DRY_RUN if opening.is_dry_run else ImportJob.Kind.IMPORT
    repeated = _repeated(submission, kind)
    if repeated is not None:
        return repeated
    job = _prepare(submission, opening, kind)
    with audited():
        if submission.idempotency_key:
            take_turn(submission, kind)
            repeated = _repeated(submission, kind)
            if repeated is not None:
                return repeated
        _refuse_beyond_limit(job.customer_id)
        hold(job.customer_id, [data_key_id_of(bytes(job.metadata or b""))])
        job.save(force_insert=True)
        record(f"{kind}.opened", target=f"import:{job.uuid}", customer_id=job.customer_id)
    return job


def expire(now: datetime) -> int:
    """Ends jobs that stood open for 24 hours without a part; how many."""
    expired = 0
    idle = ImportJob.objects.open().filter(open_until__lte=now)
    for job_id in list(idle.order_by("pk").values_list("pk", flat=True)):
        with audited():
            job = ImportJob.objects.select_for_update(no_key=True).get(pk=job_id)
            if job.open_until is None or job.open_until > now:
                continue
            record(
                f"{job.kind}.expired",
                target=f"import:{job.uuid}",
                customer_id=job.customer_id,
                record_count=job.total,
            )
            ending.end_open(job, reason=EXPIRED)
            expired += 1
    return expired


def _repeated(submission: Submission, kind: ImportJob.Kind) -> ImportJob | None:
    return repeated_job(submission.customer_id, submission.idempotency_key, submission.body_digest, kind=kind)


def _prepare(submission: Submission, opening: Opening, kind: ImportJob.Kind) -> ImportJob:
    now = database_now()
    job_uuid = uuid.uuid4()
    sealer = keyring(submission.customer_id).sealer("imports_importjob", "metadata")
    key = submission.idempotency_key
    return ImportJob(
        uuid=job_uuid,
        customer_id=submission.customer_id,
        kind=kind,
        status_reason=OPEN,
        source=opening.source,
        metadata=sealer.seal(opening.metadata, job_uuid.bytes),
        hmac_key_id=submission.hmac_key_id,
        request_id=submission.request_id,
        source_ip=submission.source_ip,
        idempotency_digest=digest_of_key(key, kind) if key else None,
        body_digest=submission.body_digest,
        total=0,
        batch_count=0,
        expected_total=opening.expected_records,
        announced_total=opening.announced,
        open_until=now + timedelta(hours=IDLE_HOURS),
        created_at=now,
        expires_at=retention.ends_at(submission.customer_id, now),
        **wanted_policy(submission.parameters),
    )


def _refuse_beyond_limit(customer_id: int) -> None:
    """Under the customer's lock, so that parallel openings are counted one after the other."""
    Customer.objects.select_for_update(no_key=True).get(pk=customer_id)
    count = ImportJob.objects.filter(customer_id=customer_id).open().count()
    if count >= MAX_OPEN_JOBS:
        raise Refusal(
            "too_many_open_imports",
            f"{count} imports in parts are open, which is the limit; close or cancel one first.",
            retry_after=RETRY_AFTER_SECONDS,
        )
