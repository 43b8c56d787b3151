"""One record by its business id: its content, where it came from and its story."""

from typing import Any, TypedDict

from msgspec import Raw

from customers.keyring import keyring
from imports.models import FailedRecord, ImportJob, Record
from imports.outcome import Outcome
from imports.progress import wire_time
from imports.storing import record_row


class Chapter(TypedDict):
    """Something that happened to the record, and the job and place that did it."""

    at: str
    jobId: str
    index: int
    outcome: str
    code: str | None


class Found(TypedDict):
    record: Any
    origin: dict[str, Any] | None
    story: list[Chapter]


def look_up(*, customer_id: int, record_type: str, external_id: str) -> Found | None:
    """The record as JSON (`record` is msgspec.Raw), None where it is unknown and never failed.

    `record` is null for a record that was only ever refused. The story is in order of time.
    """
    keys = keyring(customer_id)
    key = keys.index.key(record_type, external_id)
    stored = Record.objects.filter(customer_id=customer_id, type=record_type, key=key).first()
    failures = list(
        FailedRecord.objects.filter(customer_id=customer_id, type__in=FailedRecord.TYPES, key=key)
        .exclude(state=FailedRecord.State.DRY_RUN)
        .order_by("-pk")[:100]
    )
    if stored is None and not failures:
        return None
    jobs = ImportJob.objects.in_bulk(
        {failure.job_id for failure in failures} | ({stored.origin_job_id, stored.changed_job_id} if stored else set())
    )
    chapters: list[Chapter] = [
        {
            "at": wire_time(failure.created_at),
            "jobId": str(jobs[failure.job_id].uuid),
            "index": failure.index,
            "outcome": Outcome.FAILED.label,
            "code": failure.code,
        }
        for failure in failures
    ]
    if stored is None:
        return {"record": None, "origin": None, "story": _in_order(chapters)}
    opener = keys.opener("imports_record", "payload")
    content = opener.open(bytes(stored.payload), record_row(record_type, key))
    origin, changed = jobs[stored.origin_job_id], jobs[stored.changed_job_id]
    first = stored.created_at == stored.updated_at
    chapters.append(
        {
            "at": wire_time(stored.updated_at),
            "jobId": str(changed.uuid),
            "index": stored.changed_index,
            "outcome": (Outcome.CREATED if first else Outcome.UPDATED).label,
            "code": None,
        }
    )
    if (stored.origin_job_id, stored.origin_index) != (stored.changed_job_id, stored.changed_index):
        chapters.append(
            {
                "at": wire_time(origin.finished_at or origin.created_at),
                "jobId": str(origin.uuid),
                "index": stored.origin_index,
                "outcome": Outcome.UNCHANGED.label,
                "code": None,
            }
        )
    return {
        "record": Raw(content),
        "origin": {"jobId": str(origin.uuid), "index": stored.origin_index},
        "story": _in_order(chapters),
    }


def _in_order(chapters: list[Chapter]) -> list[Chapter]:
    return sorted(chapters, key=lambda chapter: chapter["at"])
