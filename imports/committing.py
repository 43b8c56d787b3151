"""A finished dry run becomes an import of exactly its content: the same records, mappings and marks, a new number.

The ciphertext of a batch is bound to its job, so each is opened and sealed anew, a few at a time; nothing is unpacked.
That takes as long as there is much of it, so it comes before the customer's row is locked, and the job's number after.
"""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from django.db import connection
from django.db.models.functions import Length
from psycopg.types.json import Jsonb

from audit.clock import database_now
from audit.trail import audited, record
from customers.cipher import HEAD_SIZE, data_key_id_of
from customers.keyring import Keyring, hold, keyring
from customers.models import Customer
from imports import doorbell, failpoints, intake, mappers, parts
from imports.after_commit import after_commit
from imports.failures import wanted_policy
from imports.intake import Submission, payload_row
from imports.models import ImportBatch, ImportJob
from imports.refusal import Refusal

# So much ciphertext is held at a time, or that of one batch where it has more.
HELD_BYTES: Final = 8 * 1024 * 1024
_HELD_BATCHES: Final = 500

_BUSY: Final = "This dry run is being committed or changed by another call; ask again in a moment."

_METADATA: Final = ("imports_importjob", "metadata")
_PAYLOAD: Final = ("imports_importbatch", "payload")


def commit(dry_run: ImportJob, submission: Submission, *, digest: bytes) -> ImportJob:
    """The committed import; for a dry run that was committed before that one, however far it is. Raises Refusal.

    `submission` says who asks, and for which retry policy; its body is not looked at. Two calls for one dry run go one
    after the other; the number, and with it the import's place among others, is taken by the first.
    """
    _refuse_unfit(dry_run, digest)
    committed = committed_as(dry_run)
    if committed is not None:
        return committed
    intake.look_for_room(dry_run.customer_id)
    keys = keyring(dry_run.customer_id)
    job = _prepare(dry_run, submission, digest, keys)
    with audited():
        intake.take_turn_of(dry_run.customer_id, b"commit " + dry_run.uuid.bytes, busy=_BUSY)
        committed = committed_as(dry_run)
        if committed is not None:
            return committed
        copied = _copy(dry_run, job, keys)
        intake.refuse_beyond_limit(job.customer_id, job.kind)
        _refuse_changed(copied)
        _number(job, dry_run)
        record(
            "dry_run.committed",
            target=f"import:{dry_run.uuid}",
            customer_id=job.customer_id,
            record_count=job.total,
            detail={"import": str(job.uuid)},
        )
        record(
            "import.accepted",
            target=f"import:{job.uuid}",
            customer_id=job.customer_id,
            record_count=job.total,
            detail={"batches": job.batch_count, "dry_run": str(dry_run.uuid), **mappers.as_detail(job)},
        )
        after_commit(doorbell.ring, job.pk)
        failpoints.hit("committing")
    return job


def committed_as(dry_run: ImportJob) -> ImportJob | None:
    """The import that this dry run was committed as."""
    return ImportJob.objects.filter(dry_run_id=dry_run.pk).first()


def _refuse_unfit(dry_run: ImportJob, digest: bytes) -> None:
    if dry_run.kind != ImportJob.Kind.DRY_RUN:
        raise Refusal("wrong_state", "Only a dry run can be committed; this is an import.")
    if dry_run.status != ImportJob.Status.COMPLETED:
        reason = dry_run.status_reason or dry_run.status
        raise Refusal("wrong_state", f"Only a dry run that has completed can be committed; this one is {reason}.")
    if dry_run.expires_at <= database_now():
        raise _expired()
    if parts.digest_of(dry_run) != digest:
        raise Refusal(
            "digest_differs",
            "This dry run checked another content than the digest names. Read its status: `digest` there names what it "
            "checked.",
        )


def _prepare(dry_run: ImportJob, submission: Submission, digest: bytes, keys: Keyring) -> ImportJob:
    """The job's row, not yet written."""
    now = database_now()
    days = Customer.objects.values_list("retention_days", flat=True).get(pk=dry_run.customer_id)
    policy = wanted_policy(submission.parameters)
    job_uuid = uuid.uuid4()
    metadata = keys.opener(*_METADATA).open(bytes(dry_run.metadata or b""), dry_run.uuid.bytes)
    return ImportJob(
        uuid=job_uuid,
        customer_id=dry_run.customer_id,
        kind=ImportJob.Kind.IMPORT,
        source=dry_run.source,
        metadata=keys.sealer(*_METADATA).seal(metadata, job_uuid.bytes),
        hmac_key_id=submission.hmac_key_id,
        request_id=submission.request_id,
        source_ip=submission.source_ip,
        body_digest=digest,
        total=dry_run.total,
        announced_total=dry_run.announced_total,
        received_bytes=dry_run.received_bytes,
        batch_count=dry_run.batch_count,
        dry_run=dry_run,
        mappings=dry_run.mappings,
        created_at=now,
        expires_at=now + timedelta(days=days),
        **{name: getattr(dry_run, name) if asked is None else asked for name, asked in policy.items()},
    )


def _copy(dry_run: ImportJob, job: ImportJob, keys: Keyring) -> dict[int, bytes]:
    """Writes the job's batches under the number that stands in for its own. The head of each copied ciphertext by its
    batch: with it goes a nonce, so whoever writes one anew gives it another head."""
    opener, sealer = keys.opener(*_PAYLOAD), keys.sealer(*_PAYLOAD)
    copied: dict[int, bytes] = {}
    for ids in _portions(dry_run):
        failpoints.hit("resealing")
        rows: list[tuple[Any, ...]] = []
        batches = ImportBatch.objects.filter(pk__in=ids, payload__isnull=False).order_by("sequence")
        for batch in batches.only("sequence", "first_index", "record_count", "payload", "superseded"):
            payload = bytes(batch.payload or b"")
            packed = opener.open(payload, payload_row(dry_run.uuid, batch.sequence))
            rows.append(
                (
                    job.customer_id,
                    batch.sequence,
                    batch.first_index,
                    batch.record_count,
                    sealer.seal(packed, payload_row(job.uuid, batch.sequence)),
                    batch.superseded,
                    ImportBatch.State.PENDING.value,
                    Jsonb({}),
                )
            )
            copied[batch.pk] = payload[:HEAD_SIZE]
        intake.insert_batches(job, rows, number=_stand_in(dry_run))
    if len(copied) != dry_run.batch_count:
        raise _expired()
    return copied


def _refuse_changed(copied: dict[int, bytes]) -> None:
    """What was copied is still what the dry run holds, and stays so until the transaction ends.

    So whoever removes a person from payloads either was there before, and the copy is made again, or waits for this
    import and finds it. Call it with the customer's row locked.
    """
    with connection.cursor() as cursor:
        cursor.execute(_HEADS, {"batches": list(copied), "size": HEAD_SIZE})
        now = {batch: bytes(head) for batch, head in cursor.fetchall() if head is not None}
    if now != copied:
        raise Refusal("idempotency_in_flight", _BUSY, retry_after=1)


_HEADS: Final = """
    SELECT id, substring(payload FROM 1 FOR %(size)s) FROM imports_importbatch
    WHERE id = ANY(%(batches)s) ORDER BY id FOR SHARE
"""


def _number(job: ImportJob, dry_run: ImportJob) -> None:
    """Takes the job's number, under the customer's lock as everybody does, and gives it to the batches."""
    hold(job.customer_id, [data_key_id_of(bytes(job.metadata or b""))])
    job.save(force_insert=True)
    ImportBatch.objects.filter(job_id=_stand_in(dry_run)).update(job_id=job.pk)


def _stand_in(dry_run: ImportJob) -> int:
    """No job has it, and the turn sees to it that one call uses it."""
    return -dry_run.pk


def _expired() -> Refusal:
    return Refusal("results_expired", "What was sent with this dry run has been removed; send it again.")


def _portions(dry_run: ImportJob) -> Iterator[list[int]]:
    """Ids of its batches, in order, in portions to be held at a time."""
    sizes = ImportBatch.objects.filter(job=dry_run).order_by("sequence").values_list("pk", Length("payload"))
    portion: list[int] = []
    held = 0
    for batch, size in sizes:
        portion.append(batch)
        held += size or 0
        if held >= HELD_BYTES or len(portion) >= _HELD_BATCHES:
            yield portion
            portion, held = [], 0
    if portion:
        yield portion
