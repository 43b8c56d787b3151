"""One record by its business id: its content, where it came from and its story."""

from typing import Any, Final, TypedDict

from msgspec import Raw

from customers.keyring import keyring
from imports.models import FailedRecord, ImportJob, Record, RecordVersion
from imports.outcome import Outcome
from imports.progress import wire_time
from imports.storing import record_row

_MOST: Final = 100


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

    `record` is null for a record that was only ever refused. The story is in order of time: every change of the content
    whose before-image is still kept, and the newest failures.
    """
    keys = keyring(customer_id)
    key = keys.index.key(record_type, external_id)
    stored = Record.objects.filter(customer_id=customer_id, type=record_type, key=key).first()
    failures = list(
        FailedRecord.objects.filter(customer_id=customer_id, type__in=FailedRecord.TYPES, key=key)
        .exclude(state=FailedRecord.State.DRY_RUN)
        .order_by("-pk")[:_MOST]
    )
    if stored is None and not failures:
        return None
    contents: list[Record | RecordVersion] = [stored] if stored else []
    if stored is not None:
        replaced = RecordVersion.objects.filter(customer_id=customer_id, type=record_type, key=key)
        contents += replaced.defer("payload", "fingerprint").order_by("-job_id", "-index")[:_MOST]
    jobs = ImportJob.objects.in_bulk(
        {failure.job_id for failure in failures}
        | {number for content in contents for number in (content.origin_job_id, content.changed_job_id)}
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
    for held in reversed(contents):
        chapters += _chapters_of(held, jobs)
    return {
        "record": Raw(content),
        "origin": {"jobId": str(jobs[stored.origin_job_id].uuid), "index": stored.origin_index},
        "story": _in_order(chapters),
    }


def _chapters_of(content: Record | RecordVersion, jobs: dict[int, ImportJob]) -> list[Chapter]:
    """The change that brought a content, and the last import that found it unchanged."""
    origin, changed = jobs[content.origin_job_id], jobs[content.changed_job_id]
    first = content.created_at == content.updated_at
    chapters: list[Chapter] = [
        {
            "at": wire_time(content.updated_at),
            "jobId": str(changed.uuid),
            "index": content.changed_index,
            "outcome": (Outcome.CREATED if first else Outcome.UPDATED).label,
            "code": None,
        }
    ]
    if (content.origin_job_id, content.origin_index) != (content.changed_job_id, content.changed_index):
        chapters.append(
            {
                "at": wire_time(origin.finished_at or origin.created_at),
                "jobId": str(origin.uuid),
                "index": content.origin_index,
                "outcome": Outcome.UNCHANGED.label,
                "code": None,
            }
        )
    return chapters


def _in_order(chapters: list[Chapter]) -> list[Chapter]:
    return sorted(chapters, key=lambda chapter: chapter["at"])
