"""The one way in: a body becomes a job with its batches, all in one transaction, before anyone reads 202."""

import hashlib
import struct
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, cast

from django.db import OperationalError, connection
from django.db.backends.utils import CursorWrapper
from django.db.models.functions import Now
from psycopg.errors import LockNotAvailable
from psycopg.types.json import Jsonb

from audit.clock import database_now
from audit.trail import audited, record
from customers.cipher import data_key_id_of
from customers.keyring import Keyring, hold, keyring
from customers.models import Customer
from imports import batching, doorbell, failpoints, mappers, retention
from imports.after_commit import after_commit
from imports.copying import copy_rows
from imports.envelope import open_envelope
from imports.failures import wanted_policy
from imports.json_document import Raws
from imports.models import ImportBatch, ImportJob
from imports.refusal import Refusal

IDEMPOTENCY_HOURS: Final = 24
RETRY_AFTER_SECONDS: Final = 5
# How long an import waits while another process takes in the one with the same Idempotency-Key.
TURN_SECONDS: Final = 5.0

_BATCH_COLUMNS: Final = {
    "job_id": "int8",
    "customer_id": "int8",
    "sequence": "int4",
    "first_index": "int4",
    "record_count": "int4",
    "payload": "bytea",
    "superseded": "int4[]",
    "state": "varchar",
    "by_type": "jsonb",
}
# Where it stands in what batch_rows makes, which begins without the job.
_PAYLOAD: Final = list(_BATCH_COLUMNS).index("payload") - 1


@dataclass(frozen=True, slots=True)
class Submission:
    """What came in, from whichever door. `body` is unpacked, `body_digest` is SHA-256 of the bytes on the wire."""

    customer_id: int
    media_type: str
    body: bytes = field(repr=False)
    body_digest: bytes
    request_id: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    source_ip: str | None = None
    hmac_key_id: int | None = None
    idempotency_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Everything that costs time, done before any row is locked."""

    job: ImportJob
    rows: list[tuple[object, ...]]


def accept(submission: Submission, *, kind: str = ImportJob.Kind.IMPORT) -> ImportJob:
    """The committed job; for a repeated idempotency key the one that exists. Raises Refusal.

    The customer's row is locked last and shortly: the body is read, split and encrypted before.
    """
    repeated = _repeated_job(submission, kind)
    if repeated is not None:
        return repeated
    prepared = _prepare(submission, kind)
    with audited():
        if submission.idempotency_key:
            take_turn(submission, kind)
            repeated = _repeated_job(submission, kind)
            if repeated is not None:
                return repeated
        refuse_beyond_limit(submission.customer_id, kind)
        prepared.job.mappings = mappers.pin(submission.customer_id)
        job = _insert(prepared)
        record(
            f"{job.kind}.accepted",
            target=f"import:{job.uuid}",
            customer_id=job.customer_id,
            record_count=job.total,
            detail={"batches": job.batch_count, **mappers.as_detail(job)},
        )
        after_commit(doorbell.ring, job.pk)
        failpoints.hit("accepting")
    return job


def foresee(*, customer_id: int, idempotency_key: str, body_digest: bytes) -> ImportJob | None:
    """What is known of an import before its body comes: the job that it made already, else None.

    Raises Refusal where the body could change nothing. The limit of running imports is decided under the customer's
    lock in accept(); here it is a cheap look that spares the upload.
    """
    repeated = repeated_job(customer_id, idempotency_key, body_digest)
    if repeated is None:
        look_for_room(customer_id)
    return repeated


def look_for_room(customer_id: int) -> None:
    """A cheap look that spares work: raises Refusal at the limit of running imports. refuse_beyond_limit decides."""
    running = ImportJob.objects.filter(customer_id=customer_id).running().count()
    if running:
        _refuse_at(running, Customer.objects.get(pk=customer_id))


def repeated_job(
    customer_id: int, idempotency_key: str, body_digest: bytes, *, kind: str = ImportJob.Kind.IMPORT
) -> ImportJob | None:
    """The job of this kind that this key made within 24 hours. Raises Refusal where its body was another."""
    if not idempotency_key:
        return None
    job = ImportJob.objects.filter(
        customer_id=customer_id,
        idempotency_digest=digest_of_key(idempotency_key, kind),
        created_at__gt=Now() - timedelta(hours=IDEMPOTENCY_HOURS),
    ).first()
    if job is not None and bytes(job.body_digest) != body_digest:
        raise Refusal(
            "idempotency_key_reused",
            "This Idempotency-Key came with another body before; use a new key for a new body.",
        )
    return job


def _repeated_job(submission: Submission, kind: str) -> ImportJob | None:
    return repeated_job(submission.customer_id, submission.idempotency_key, submission.body_digest, kind=kind)


def digest_of_key(idempotency_key: str, kind: str) -> bytes:
    """A key belongs to one kind: whoever dry-runs a file and pushes it under the same key gets two jobs."""
    return hashlib.sha256(f"{kind} {idempotency_key}".encode()).digest()


def take_turn(submission: Submission, kind: str) -> None:
    """The turn of the submission's Idempotency-Key; a key that has expired is free again. Raises Refusal."""
    idempotency_digest = digest_of_key(submission.idempotency_key, kind)
    take_turn_of(
        submission.customer_id,
        idempotency_digest,
        busy="The first request with this Idempotency-Key is still being accepted; ask again in a moment.",
    )
    ImportJob.objects.filter(
        customer_id=submission.customer_id,
        idempotency_digest=idempotency_digest,
        created_at__lte=Now() - timedelta(hours=IDEMPOTENCY_HOURS),
    ).update(idempotency_digest=None)


def take_turn_of(customer_id: int, name: bytes, *, busy: str) -> None:
    """An advisory lock for as long as the transaction: a crash leaves nothing behind.

    Raises Refusal with the text `busy` where somebody has held it for TURN_SECONDS.
    """
    (number,) = struct.unpack_from(">q", hashlib.sha256(struct.pack(">q", customer_id) + name).digest())
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        (taken,) = cursor.fetchone()
        if not taken:
            _wait_for_turn(cursor, number, busy)


def _wait_for_turn(cursor: CursorWrapper, number: int, busy: str) -> None:
    try:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{int(TURN_SECONDS * 1000)}ms"])
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])
        cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    except OperationalError as err:
        if not isinstance(err.__cause__, LockNotAvailable):
            raise
        raise Refusal("idempotency_in_flight", busy, retry_after=1) from None


def refuse_beyond_limit(customer_id: int, kind: str) -> None:
    """Locks the customer's row until the transaction ends: imports are counted, and mappings pinned, in one order."""
    customer = Customer.objects.select_for_update(no_key=True).get(pk=customer_id)
    if kind != ImportJob.Kind.IMPORT:
        return
    _refuse_at(ImportJob.objects.filter(customer_id=customer_id).running().count(), customer)


def _refuse_at(running: int, customer: Customer) -> None:
    if running >= customer.max_concurrent_imports:
        raise Refusal(
            "too_many_running_imports",
            f"{running} imports are running, which is this customer's limit; wait for one to finish.",
            retry_after=RETRY_AFTER_SECONDS,
        )


def _prepare(submission: Submission, kind: str) -> _Prepared:
    envelope = open_envelope(submission.body, media_type=submission.media_type, parameters=submission.parameters)
    keys = keyring(submission.customer_id)
    now = database_now()
    job_uuid = uuid.uuid4()
    rows = batch_rows(envelope.records, keys, job_uuid, submission.customer_id)
    job = ImportJob(
        uuid=job_uuid,
        customer_id=submission.customer_id,
        kind=kind,
        source=envelope.source,
        metadata=keys.sealer("imports_importjob", "metadata").seal(envelope.metadata, job_uuid.bytes),
        hmac_key_id=submission.hmac_key_id,
        request_id=submission.request_id,
        source_ip=submission.source_ip,
        idempotency_digest=digest_of_key(submission.idempotency_key, kind) if submission.idempotency_key else None,
        body_digest=submission.body_digest,
        total=len(envelope.records),
        announced_total=envelope.announced,
        received_bytes=len(submission.body),
        batch_count=len(rows),
        created_at=now,
        expires_at=retention.ends_at(submission.customer_id, now),
        **wanted_policy(submission.parameters),
    )
    return _Prepared(job, rows)


def batch_rows(
    records: Raws, keys: Keyring, job_uuid: uuid.UUID, customer_id: int, *, first_sequence: int = 0
) -> list[tuple[object, ...]]:
    """One row a batch, as insert_batches takes them; the first of them is number `first_sequence` of its job."""
    sealer = keys.sealer("imports_importbatch", "payload")
    return [
        (
            customer_id,
            first_sequence + part.sequence,
            part.first_index,
            len(part.records),
            sealer.seal(batching.pack(part.records), payload_row(job_uuid, first_sequence + part.sequence)),
            part.superseded,
            ImportBatch.State.PENDING.value,
            Jsonb({}),
        )
        for part in batching.split(records)
    ]


def payload_row(job_uuid: uuid.UUID, sequence: int) -> bytes:
    """What binds a batch's ciphertext to its row."""
    return job_uuid.bytes + struct.pack(">I", sequence)


def _insert(prepared: _Prepared) -> ImportJob:
    job = prepared.job
    hold(job.customer_id, [data_key_id_of(bytes(job.metadata or b""))])
    job.save(force_insert=True)
    insert_batches(job, prepared.rows)
    return job


def insert_batches(job: ImportJob, rows: Sequence[tuple[object, ...]], *, number: int | None = None) -> None:
    """Batches of a job, as batch_rows made them. Raises KeyGoneError where their data key is destroyed.

    `number` stands in for the job's own where it has none yet; it is looked at when the transaction ends.
    """
    hold(job.customer_id, {data_key_id_of(cast(bytes, row[_PAYLOAD])) for row in rows})
    with connection.cursor() as cursor:
        copy_rows(cursor, ImportBatch._meta.db_table, _BATCH_COLUMNS, ((number or job.pk, *row) for row in rows))
