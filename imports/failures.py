"""Records that did not make it: written with their batch, kept as sent, named by a code and a place."""

import hashlib
import struct
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from django.db import connection

from customers.keyring import Keyring
from imports import checking
from imports.copying import copy_rows
from imports.models import FailedRecord, ImportBatch, ImportJob

_COLUMNS: Final = {
    "customer_id": "int8",
    "job_id": "int8",
    "batch_id": "int8",
    "index": "int4",
    "type": "varchar",
    "key": "bytea",
    "payload": "bytea",
    "stage": "varchar",
    "code": "varchar",
    "pointer": "varchar",
    "message": "varchar",
    "problems": "bytea",
    "category": "varchar",
    "group_key": "bytea",
    "attempts": "int2",
    "state": "varchar",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
}
_TABLE: Final = "imports_failedrecord"
_PLACE_LENGTH: Final = 300

_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(list[checking.Problem]).decode


@dataclass(frozen=True, slots=True)
class Failure:
    """A record as sent and every problem found in it, the first one leading. `index` counts from the job's first."""

    index: int
    raw: bytes
    problems: list[checking.Problem]


def store_failures(
    failures: Iterable[Failure], *, job: ImportJob, batch: ImportBatch, keys: Keyring, now: datetime
) -> None:
    """Writes one FailedRecord each, within the caller's transaction."""
    payloads, details = keys.sealer(_TABLE, "payload"), keys.sealer(_TABLE, "problems")
    state = FailedRecord.State.DRY_RUN if job.kind == ImportJob.Kind.DRY_RUN else FailedRecord.State.OPEN
    rows = []
    for failure in failures:
        external_id, record_type = checking.identity(failure.raw)
        first = failure.problems[0]
        row = _row(job.uuid, failure.index)
        rows.append(
            (
                job.customer_id,
                job.pk,
                batch.pk,
                failure.index,
                record_type,
                keys.index.key(record_type, external_id) if external_id and record_type else None,
                payloads.seal(failure.raw, row),
                FailedRecord.Stage.CHECK.value,
                first.code,
                first.place[:_PLACE_LENGTH],
                first.message,
                details.seal(_encode(failure.problems), row),
                FailedRecord.Category.PERMANENT.value,
                group_key(record_type, FailedRecord.Stage.CHECK, first.code, first.place),
                1,
                state.value,
                now,
                now,
            )
        )
    if rows:
        with connection.cursor() as cursor:
            copy_rows(cursor, FailedRecord._meta.db_table, _COLUMNS, rows)


def open_failures(job: ImportJob, failures: Iterable[FailedRecord], keys: Keyring) -> Iterator[Failure]:
    """The failed records of `job` as their owner may see them. Raises DecryptionError."""
    payloads, details = keys.opener(_TABLE, "payload"), keys.opener(_TABLE, "problems")
    for failure in failures:
        row = _row(job.uuid, failure.index)
        yield Failure(
            failure.index,
            payloads.open(bytes(failure.payload), row),
            _decode(details.open(bytes(failure.problems), row)),
        )


def group_key(record_type: str, stage: str, code: str, place: str) -> bytes:
    """Same for failures that one change would mend. Holds no value."""
    return hashlib.sha256("\0".join((record_type, stage, code, place)).encode()).digest()[:16]


def _row(job_uuid: uuid.UUID, index: int) -> bytes:
    """What binds a failed record's ciphertext to its row."""
    return job_uuid.bytes + struct.pack(">I", index)
