"""Failed records as their owner sees them: one, or page by page, newest first."""

from dataclasses import dataclass
from typing import TypedDict
from uuid import UUID

from django.db.models import QuerySet
from msgspec import Raw

from customers.keyring import Keyring, keyring
from imports import checking
from imports.failures import failure_row
from imports.listing import PAGE_SIZE, cursor_of, number_of, unknown
from imports.models import FailedRecord, ImportJob
from imports.progress import wire_time
from imports.results import as_sent
from imports.retrying import as_it_stands

STATES = [state for state in FailedRecord.State.values if state != FailedRecord.State.DRY_RUN]


class FailedRecordLine(TypedDict):
    """`attempt` is what an edit must name; `record` is the id as sent, null where none can be read."""

    id: str
    jobId: str
    index: int
    record: str | None
    type: str | None
    stage: str
    code: str
    pointer: str
    message: str
    category: str
    state: str
    attempt: int
    isEdited: bool
    nextAttemptAt: str | None
    lastAttemptAt: str | None
    discardReason: str | None
    resolvedBy: str | None
    createdAt: str
    updatedAt: str
    links: dict[str, str]


class FailedRecordInFull(FailedRecordLine):
    """`data` is the record as sent, null once it has expired or was erased, `edited` what a person put in its place."""

    data: Raw | str | None
    edited: Raw | str | None


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is the cursor of the following page, None on the last."""

    lines: list[FailedRecordLine]
    next: str | None


def find(*, customer_id: int, job_uuid: UUID, index: int) -> FailedRecord | None:
    """The customer's failed record at that place, except one of a dry run."""
    return _of(customer_id).filter(job__uuid=job_uuid, index=index).first()


def list_failures(
    *,
    customer_id: int,
    job: ImportJob | None = None,
    code: str | None = None,
    state: str | None = None,
    after: str | None = None,
    limit: int = PAGE_SIZE,
) -> Page:
    """Up to `limit` (1 to 50) older than the cursor `after`. Raises Refusal for an unknown state or cursor."""
    found = _of(customer_id)
    if job is not None:
        found = found.filter(job=job)
    if code:
        found = found.filter(code=code)
    if state is not None:
        if state not in STATES:
            raise unknown("state", f"state must be one of {', '.join(STATES)}.")
        found = found.filter(state=state)
    if after:
        found = found.filter(pk__lt=number_of(after))
    rows = list(found.order_by("-pk")[: limit + 1])
    keys = keyring(customer_id)
    following = cursor_of(rows[limit - 1].pk) if len(rows) > limit else None
    return Page([line(row, keys) for row in rows[:limit]], following)


def in_full(row: FailedRecord) -> FailedRecordInFull:
    """With what was sent, to be looked at before it is edited."""
    keys = keyring(row.customer_id)
    return {
        **line(row, keys),
        "data": as_sent(_payload(row, keys)),
        "edited": as_sent(as_it_stands(row, row.job, keys)) if row.edited is not None else None,
    }


def line(row: FailedRecord, keys: Keyring) -> FailedRecordLine:
    here = f"/api/v1/failed-records/{row.job.uuid}-{row.index}"
    return {
        "id": f"{row.job.uuid}-{row.index}",
        "jobId": str(row.job.uuid),
        "index": row.index,
        "record": checking.identity(_payload(row, keys))[0],
        "type": row.type or None,
        "stage": row.stage,
        "code": row.code,
        "pointer": row.pointer,
        "message": row.message,
        "category": row.category,
        "state": row.state,
        "attempt": row.attempts,
        "isEdited": row.edited is not None,
        "nextAttemptAt": wire_time(row.next_attempt_at) if row.next_attempt_at else None,
        "lastAttemptAt": wire_time(row.tried_at) if row.tried_at else None,
        "discardReason": row.discard_reason or None,
        "resolvedBy": str(row.resolved_by.uuid) if row.resolved_by else None,
        "createdAt": wire_time(row.created_at),
        "updatedAt": wire_time(row.updated_at),
        "links": {"self": here, **{name: f"{here}/{name}" for name in ("retry", "edit", "discard")}},
    }


def _of(customer_id: int) -> QuerySet[FailedRecord]:
    return (
        FailedRecord.objects.filter(customer_id=customer_id)
        .exclude(state=FailedRecord.State.DRY_RUN)
        .select_related("job", "resolved_by")
        .defer("job__metadata", "resolved_by__metadata", "problems")
    )


def _payload(row: FailedRecord, keys: Keyring) -> bytes:
    if row.payload is None:
        return b""
    return keys.opener("imports_failedrecord", "payload").open(bytes(row.payload), failure_row(row.job.uuid, row.index))
