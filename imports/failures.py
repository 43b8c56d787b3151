"""Records that did not make it: written with their batch, kept as sent, named by a code and a place."""

import hashlib
import re
import struct
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import connection
from psycopg.types.json import Jsonb

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
    "problems": "jsonb",
    "category": "varchar",
    "group_key": "bytea",
    "attempts": "int2",
    "state": "varchar",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
}
_LIST_INDEX: Final = re.compile(r"/\d+")
_POINTER_LENGTH: Final = 300


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
    sealer = keys.sealer("imports_failedrecord", "payload")
    state = FailedRecord.State.DRY_RUN if job.kind == ImportJob.Kind.DRY_RUN else FailedRecord.State.OPEN
    rows = []
    for failure in failures:
        external_id, record_type = checking.identity(failure.raw)
        first = failure.problems[0]
        pointer = first.pointer[:_POINTER_LENGTH]
        rows.append(
            (
                job.customer_id,
                job.pk,
                batch.pk,
                failure.index,
                record_type,
                keys.index.key(record_type, external_id) if external_id and record_type else None,
                sealer.seal(failure.raw, failed_row(job.uuid, failure.index)),
                FailedRecord.Stage.CHECK.value,
                first.code,
                pointer,
                first.message,
                Jsonb(
                    [
                        {
                            "code": problem.code,
                            "pointer": problem.pointer[:_POINTER_LENGTH],
                            "message": problem.message,
                        }
                        for problem in failure.problems
                    ]
                ),
                FailedRecord.Category.PERMANENT.value,
                group_key(record_type, FailedRecord.Stage.CHECK, first.code, pointer),
                1,
                state.value,
                now,
                now,
            )
        )
    if rows:
        with connection.cursor() as cursor:
            copy_rows(cursor, FailedRecord._meta.db_table, _COLUMNS, rows)


def group_key(record_type: str, stage: str, code: str, pointer: str) -> bytes:
    """Same for failures that one change would mend: list positions count as one place. Holds no value."""
    place = _LIST_INDEX.sub("/*", pointer)
    return hashlib.sha256("\0".join((record_type, stage, code, place)).encode()).digest()[:16]


def failed_row(job_uuid: uuid.UUID, index: int) -> bytes:
    """What binds a failed record's ciphertext to its row."""
    return job_uuid.bytes + struct.pack(">I", index)
