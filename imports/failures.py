"""Records that did not make it: written with their batch, kept as sent, named by a code and a place."""

import hashlib
import random
import struct
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec
from django.db import connection

from customers.keyring import Keyring, hold
from imports import checking
from imports.copying import copy_rows
from imports.models import FailedRecord, ImportBatch, ImportJob
from imports.refusal import Refusal

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
    "attempts": "int4",
    "state": "varchar",
    "next_attempt_at": "timestamptz",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
}
_TABLE: Final = "imports_failedrecord"
RETRYABLE: Final = frozenset(checking.STORE_CODES)
"""Codes of failures that may pass when tried again; all others wait for a person, and so do those of a mapping."""

DEFAULT_TRIES: Final = 3
DEFAULT_BASE_SECONDS: Final = 2
LONGEST_PAUSE_SECONDS: Final = 3600
MAX_TRIES: Final = 20

PLACE_LENGTH: Final = 300

encode_problems = msgspec.json.encode
_decode = msgspec.json.Decoder(list[checking.Problem]).decode


@dataclass(frozen=True, slots=True)
class Failure:
    """A record as sent and every problem found in it, the first one leading. `index` counts from the job's first.

    Of one whose content has been removed `raw` is empty, and the first problem alone is known, with the place for all.
    """

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
        row = failure_row(job.uuid, failure.index)
        category = category_of(first)
        next_attempt_at = None
        if category == FailedRecord.Category.RETRYABLE and state == FailedRecord.State.OPEN:
            policy = retry_policy(job.pk)
            next_attempt_at = now + policy.pause(1) if policy.tries else None
        rows.append(
            (
                job.customer_id,
                job.pk,
                batch.pk,
                failure.index,
                record_type,
                keys.index.key(record_type, external_id) if external_id and record_type else None,
                payloads.seal(failure.raw, row),
                first.stage,
                first.code,
                first.place[:PLACE_LENGTH],
                first.message,
                details.seal(encode_problems(failure.problems), row),
                category.value,
                group_key(record_type, first),
                1,
                state.value,
                next_attempt_at,
                now,
                now,
            )
        )
    if rows:
        hold(job.customer_id, [payloads.data_key_id, details.data_key_id])
        with connection.cursor() as cursor:
            copy_rows(cursor, FailedRecord._meta.db_table, _COLUMNS, rows)


def open_failures(job: ImportJob, failures: Iterable[FailedRecord], keys: Keyring) -> Iterator[Failure]:
    """The failed records of `job` as their owner may see them. Raises DecryptionError."""
    payloads, details = keys.opener(_TABLE, "payload"), keys.opener(_TABLE, "problems")
    for failure in failures:
        if failure.payload is None or failure.problems is None:
            yield Failure(failure.index, b"", [checking.Problem(failure.code, failure.pointer, text=failure.message)])
            continue
        row = failure_row(job.uuid, failure.index)
        yield Failure(
            failure.index,
            payloads.open(bytes(failure.payload), row),
            _decode(details.open(bytes(failure.problems), row)),
        )


def group_key(record_type: str, problem: checking.Problem) -> bytes:
    """Same for failures that one change would mend. Holds no value."""
    parts = (record_type, problem.stage, problem.code, problem.place)
    return hashlib.sha256("\0".join(parts).encode()).digest()[:16]


def category_of(problem: checking.Problem) -> FailedRecord.Category:
    is_passing = problem.code in RETRYABLE and not problem.mapping_stage
    return FailedRecord.Category.RETRYABLE if is_passing else FailedRecord.Category.PERMANENT


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a passing failure is tried again by itself, and how soon: exponential backoff with full jitter."""

    tries: int
    base_seconds: int

    def pause(self, number: int) -> timedelta:
        """Before try `number`, counted from 1: evenly spread up to base, then twice as long with each, at most 1 h."""
        return timedelta(seconds=random.uniform(0, self.longest(number)))  # noqa: S311 - spreads load, hides nothing

    def longest(self, number: int) -> float:
        return float(min(self.base_seconds * 2 ** (number - 1), LONGEST_PAUSE_SECONDS))


def retry_policy(job_id: int) -> RetryPolicy:
    """What the caller asked for with the job, else the customer's own, else the house's."""
    names = ("retry_tries", "customer__retry_tries", "retry_base_seconds", "customer__retry_base_seconds")
    of_job, of_customer, *bases = ImportJob.objects.values_list(*names).get(pk=job_id)
    tries = next((tries for tries in (of_job, of_customer) if tries is not None), DEFAULT_TRIES)
    return RetryPolicy(tries, next((base for base in bases if base is not None), DEFAULT_BASE_SECONDS))


def wanted_policy(parameters: Mapping[str, str]) -> dict[str, int | None]:
    """What a caller asks for with a job, as columns of the job; None where it says nothing. Raises Refusal."""
    return {
        "retry_tries": _whole_number(parameters, "retryTries", 0, MAX_TRIES),
        "retry_base_seconds": _whole_number(parameters, "retryBaseSeconds", 1, LONGEST_PAUSE_SECONDS),
    }


def _whole_number(parameters: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    text = parameters.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and least <= int(text) <= most):
        raise Refusal("invalid_parameter", f"{name} must be a whole number from {least} to {most:,}.")
    return int(text)


def failure_row(job_uuid: uuid.UUID, index: int) -> bytes:
    """What binds a failed record's ciphertext to its row."""
    return job_uuid.bytes + struct.pack(">I", index)
