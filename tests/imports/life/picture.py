"""One customer's rows, in one shape as the ledger predicts them and as they lie in PostgreSQL, opened."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from customers import keyring as rings
from customers.keyring import Keyring
from customers.models import Customer, DataKey
from imports import batching
from imports.failures import failure_row
from imports.intake import payload_row
from imports.storing import record_row
from tests.imports.life.items import Item
from tests.imports.life.jobs import DONE, DROPPED, DUE, LATER, NO, PENDING, Batch, Job, Origin
from tests.imports.life.ledger import FAILED, Ledger

_COUNTED = {"c": "created", "u": "updated", "=": "unchanged", "s": "superseded", "f": "failed"}


class JobRow(NamedTuple):
    kind: str
    status: str
    reason: str
    is_open: bool
    is_cancelled: bool
    batch_count: int
    batches_ended: int
    total: int
    processed: int
    created: int
    updated: int
    unchanged: int
    superseded: int
    failed: int
    unprocessed: int


class BatchRow(NamedTuple):
    """`items` is None where its payload can no longer be opened."""

    first: int
    count: int  # type: ignore[assignment]
    items: tuple[Item, ...] | None
    superseded: tuple[int, ...]
    state: str
    outcomes: str
    by_type: dict[str, dict[str, int]]
    ends: tuple[str, ...]


class FailureRow(NamedTuple):
    item: Item
    edited: Item | None
    type: str
    code: str
    state: str
    wait: str
    attempts: int
    tries: int
    edit_number: int | None
    resolved_by: int | None


class RecordRow(NamedTuple):
    item: Item
    origin: Origin
    changed: Origin


@dataclass(frozen=True, slots=True)
class Picture:
    """Jobs by number, batches by number and sequence, failures by number and index, records by name."""

    jobs: dict[int, JobRow]
    batches: dict[Origin, BatchRow]
    failures: dict[Origin, FailureRow]
    records: dict[str, RecordRow]

    def faults(self) -> list[str]:
        """Law 3, whatever the ledger says: each record received is counted once, at every moment."""
        waiting: Counter[int] = Counter()
        for (number, _), batch in self.batches.items():
            waiting[number] += batch.count if batch.state == PENDING else 0
        return [
            f"job {number}: {job.total} received"
            for number, job in self.jobs.items()
            if job.total
            != job.created + job.updated + job.unchanged + job.superseded + job.failed + job.unprocessed
            + waiting[number]
        ]  # fmt: skip

    def against(self, other: "Picture") -> list[str]:
        """Where this one differs from what was predicted, row by row."""
        found = []
        for kind in ("jobs", "batches", "failures", "records"):
            here, there = getattr(self, kind), getattr(other, kind)
            found += [
                f"{kind} {key}: seen {here.get(key)}, predicted {there.get(key)}"
                for key in sorted({*here, *there})
                if here.get(key) != there.get(key)
            ]
        return found


def predicted(ledger: Ledger) -> Picture:
    return Picture(
        {job.number: _job(job) for job in ledger.jobs},
        {(batch.job.number, batch.sequence): _batch(batch, opens=not ledger.is_erased) for batch in ledger.batches()},
        {
            (failure.job.number, failure.index): FailureRow(
                failure.item, failure.edited, failure.item.type, failure.code, failure.state, failure.wait,
                failure.attempts, failure.tries, failure.edit_number, failure.resolved_by,
            )
            for failure in ledger.failures
        },
        {name: RecordRow(stored.item, stored.origin, stored.changed) for name, stored in ledger.table.items()},
    )  # fmt: skip


def _job(job: Job) -> JobRow:
    counts = Counter(outcome for batch in job.batches for outcome in batch.outcomes)
    return JobRow(
        kind=job.kind,
        status=job.status,
        reason=job.reason,
        is_open=job.is_open,
        is_cancelled=job.is_cancelled,
        batch_count=len(job.batches),
        batches_ended=sum(batch.state != PENDING for batch in job.batches),
        total=sum(len(batch.items) for batch in job.batches),
        processed=counts.total(),
        **{label: counts[letter] for letter, label in _COUNTED.items()},
        unprocessed=sum(len(batch.items) for batch in job.batches if batch.state == DROPPED),
    )


def _batch(batch: Batch, *, opens: bool) -> BatchRow:
    by_type: dict[str, dict[str, int]] = {}
    for item, outcome in zip(batch.items, batch.outcomes, strict=batch.state == DONE):
        counts = by_type.setdefault(item.type or "unknown", {"processed": 0, "failed": 0})
        counts["processed"] += 1
        counts["failed"] += outcome == FAILED
    return BatchRow(
        batch.first, len(batch.items), batch.items if opens else None, batch.superseded, batch.state,
        "".join(batch.outcomes), by_type, tuple(batch.ends),
    )  # fmt: skip


# All in one question, since the machine asks it at every step.
_SEEN = """
    SELECT (SELECT uuid FROM customers_customer WHERE id = %(customer)s),
        (SELECT erased_at IS NOT NULL FROM customers_customer WHERE id = %(customer)s),
        {data_keys}, {hmac_keys}, {jobs}, {batches}, {failures}, {records},
        (SELECT coalesce(json_object_agg(batch_id, ends), '{{}}') FROM (
            SELECT batch_id, array_agg("end" ORDER BY id) AS ends FROM imports_batchattempt
            WHERE customer_id = %(customer)s GROUP BY batch_id
        ) attempts)
""".format(
    **{
        name: f"(SELECT coalesce(json_agg(t ORDER BY id), '[]') FROM {source} t WHERE customer_id = %(customer)s)"
        for name, source in {
            "data_keys": "customers_datakey",
            "hmac_keys": "customers_hmackey",
            "jobs": "imports_importjob",
            "batches": "imports_importbatch",
            "failures": "(SELECT *, next_attempt_at <= clock_timestamp() AS is_due FROM imports_failedrecord)",
            "records": "imports_record",
        }.items()
    }
)

Row = dict[str, Any]


def seen(customer: Customer) -> Picture:
    """With the keys as they are at this moment: what lies under a destroyed one raises DecryptionError.

    Of an erased customer only what needs no key.
    """
    with connection.cursor() as cursor:
        cursor.execute(_SEEN, {"customer": customer.pk})
        uuid, is_erased, data_keys, hmac_keys, jobs, batches, failures, records, ends = cursor.fetchone()
    rows = [DataKey(**{**row, "wrapped": _bytes(row["wrapped"]) or None}) for row in data_keys]
    keys = None if is_erased else Keyring(customer.pk, uuid, {row.pk: rings._entry(row, uuid) for row in rows})
    numbers = {job["id"]: number for number, job in enumerate(jobs, start=1)}
    uuids = {job["id"]: UUID(job["uuid"]) for job in jobs}
    if keys is None:
        assert (failures, records) == ([], []), "ciphertext of an erased customer was left over"
    else:
        metadata = keys.opener("imports_importjob", "metadata")
        assert all(metadata.open(_bytes(job["metadata"]), UUID(job["uuid"]).bytes) for job in jobs)
        secrets = keys.opener("customers_hmackey", "secret", purpose="secret")
        assert all(secrets.open(_bytes(key["secret"]), key["key_id"].encode()) for key in hmac_keys)
    return Picture(
        {
            numbers[job["id"]]: JobRow(
                job["kind"], job["status"], job["status_reason"], job["open_until"] is not None,
                job["cancelled_at"] is not None, *(job[name] for name in JobRow._fields[5:]),
            )
            for job in jobs
        },
        {
            (numbers[batch["job_id"]], batch["sequence"]): _seen_batch(batch, uuids, keys, ends)
            for batch in batches
        },
        {
            (numbers[failure["job_id"]], failure["index"]): _seen_failure(failure, uuids, numbers, keys)
            for failure in failures if keys
        },
        dict(_seen_record(record, numbers, keys) for record in records if keys),
    )  # fmt: skip


def _seen_batch(batch: Row, uuids: dict[int, UUID], keys: Keyring | None, ends: dict[str, list[str]]) -> BatchRow:
    items = None
    if keys:
        row = payload_row(uuids[batch["job_id"]], batch["sequence"])
        raws = batching.unpack(keys.opener("imports_importbatch", "payload").open(_bytes(batch["payload"]), row))
        items = tuple(map(Item.read, raws))
    return BatchRow(
        batch["first_index"], batch["record_count"], items, tuple(batch["superseded"]), batch["state"],
        _bytes(batch["outcomes"]).decode(), batch["by_type"], tuple(ends.get(str(batch["id"]), ())),
    )  # fmt: skip


def _seen_failure(failure: Row, uuids: dict[int, UUID], numbers: dict[int, int], keys: Keyring) -> FailureRow:
    row = failure_row(uuids[failure["job_id"]], failure["index"])
    payload, edited, problems = (
        keys.opener("imports_failedrecord", column).open(_bytes(failure[column]), row) if failure[column] else b""
        for column in ("payload", "edited", "problems")
    )
    assert problems
    is_due = failure["is_due"]
    return FailureRow(
        Item.read(payload),
        Item.read(edited) if edited else None,
        failure["type"],
        failure["code"],
        failure["state"],
        NO if is_due is None else DUE if is_due else LATER,
        failure["attempts"],
        failure["tries"],
        numbers.get(failure["edit_job_id"]),
        numbers.get(failure["resolved_by_id"]),
    )


def _seen_record(record: Row, numbers: dict[int, int], keys: Keyring) -> tuple[str, RecordRow]:
    key = _bytes(record["key"])
    item = Item.read(
        keys.opener("imports_record", "payload").open(_bytes(record["payload"]), record_row(record["type"], key))
    )
    assert key == keys.index.key(record["type"], item.name.upper())
    return item.name, RecordRow(
        item,
        (numbers[record["origin_job_id"]], record["origin_index"]),
        (numbers[record["changed_job_id"]], record["changed_index"]),
    )


def _bytes(text: str | None) -> bytes:
    """A bytea as JSON shows it."""
    return bytes.fromhex(text[2:]) if text else b""
