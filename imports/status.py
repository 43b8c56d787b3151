"""What an import's owner sees of it: the specification's three members and everything beside them."""

import base64
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Final, NotRequired, TypedDict

from django.db.models import Count, QuerySet

from customers.keyring import keyring
from imports import checking, parts
from imports.failures import Failure, open_failures
from imports.models import FailedRecord, ImportBatch, ImportJob
from imports.progress import Snapshot, snapshot, wire_time

INLINE_ERRORS: Final = 100
SUMMARY_LINES: Final = 100

KINDS: Final[dict[str, str]] = {"import": "import", "dry_run": "dryRun", "edit": "edit"}


class RecordError(TypedDict):
    """`record` is the id as sent, or `#index` where the record has none that can be read.

    `pointer` leads into the record as sent, `target`, which problems of a mapping have, into the mapped one; each is
    empty where its place is not known.
    """

    record: str
    error: str
    index: int
    code: str
    pointer: str
    target: NotRequired[str]


class ErrorCount(TypedDict):
    code: str
    pointer: str
    count: int


class TypeCount(TypedDict):
    processed: int
    failed: int


class JobSummary(Snapshot):
    """`mappings` holds versions by record type; null while the import is open."""

    jobId: str
    kind: str
    source: str
    mappings: dict[str, int] | None
    expiresAt: str
    undone: bool
    links: dict[str, str]


class JobStatus(JobSummary):
    errors: list[RecordError]
    errorsTruncated: bool
    errorSummary: list[ErrorCount]
    byType: dict[str, TypeCount]
    would: dict[str, int] | None  # of a dry run only, as are the next two
    digest: str | None
    committedAs: str | None
    dryRun: str | None  # what it was committed from


def summarise(job: ImportJob, now: datetime) -> JobSummary:
    """One line of the list of jobs: no query where the job came with its undo, no personal data."""
    return {
        **snapshot(job, now),
        "jobId": str(job.uuid),
        "kind": KINDS[job.kind],
        "source": job.source,
        "mappings": job.mappings,
        "expiresAt": wire_time(job.expires_at),
        "undone": job.is_undone,
        "links": links(job),
    }


def describe(job: ImportJob, now: datetime) -> JobStatus:
    """The whole status, with the first 100 errors by position and the reasons counted over all of them."""
    failures = FailedRecord.objects.filter(job=job, state__in=current_states(job))
    errors = name_errors(job, failures.order_by("index")[: INLINE_ERRORS + 1])
    is_dry_run = job.kind == ImportJob.Kind.DRY_RUN
    return {
        **summarise(job, now),
        "errors": errors[:INLINE_ERRORS],
        "errorsTruncated": len(errors) > INLINE_ERRORS,
        "errorSummary": [
            {"code": code, "pointer": pointer, "count": count}
            for code, pointer, count in failures.order_by()
            .values_list("code", "pointer")
            .annotate(count=Count("pk"))
            .order_by("-count", "code", "pointer")[:SUMMARY_LINES]
        ],
        "byType": count_by_type(job),
        "would": _would(job),
        "digest": _digest(job),
        "committedAs": _uuid_of(ImportJob.objects.filter(dry_run_id=job.pk)) if is_dry_run else None,
        "dryRun": _uuid_of(ImportJob.objects.filter(pk=job.dry_run_id)) if job.dry_run_id else None,
    }


def _would(job: ImportJob) -> dict[str, int] | None:
    if job.kind != ImportJob.Kind.DRY_RUN:
        return None
    return {"create": job.created, "update": job.updated, "unchanged": job.unchanged}


def _digest(job: ImportJob) -> str | None:
    """What a commit of this dry run must name, base64url; None while it takes parts."""
    digest = parts.digest_of(job) if job.kind == ImportJob.Kind.DRY_RUN else None
    return base64.urlsafe_b64encode(digest).decode().rstrip("=") if digest else None


def _uuid_of(jobs: QuerySet[ImportJob]) -> str | None:
    found = jobs.values_list("uuid", flat=True).first()
    return str(found) if found else None


def current_states(job: ImportJob) -> list[str]:
    """The states of failed records that count as failed now."""
    if job.kind == ImportJob.Kind.DRY_RUN:
        return [FailedRecord.State.DRY_RUN]
    return list(FailedRecord.FAILED)


def name_errors(job: ImportJob, failures: Iterable[FailedRecord]) -> list[RecordError]:
    """Failed records for their owner, each named by the id that it was sent with."""
    return [name_error(failure) for failure in open_failures(job, failures, keyring(job.customer_id))]


def name_error(failure: Failure) -> RecordError:
    """One line of `errors`: the first fault of a record, under the id that it was sent with."""
    first = failure.problems[0]
    error: RecordError = {
        "record": checking.identity(failure.raw)[0] or f"#{failure.index}",
        "error": first.message,
        "index": failure.index,
        "code": first.code,
        "pointer": first.pointer,
    }
    if first.mapping_stage:
        error["target"] = first.target
    return error


def count_by_type(job: ImportJob) -> dict[str, TypeCount]:
    """Records handled and failed by type, added up over the batches."""
    processed: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for of_batch in ImportBatch.objects.filter(job=job, state=ImportBatch.State.DONE).values_list("by_type", flat=True):
        for record_type, counts in of_batch.items():
            processed[record_type] += counts["processed"]
            failed[record_type] += counts["failed"]
    return {
        record_type: {"processed": processed[record_type], "failed": failed[record_type]}
        for record_type in sorted(processed)
    }


def links(job: ImportJob) -> dict[str, str]:
    """Where a caller goes from here; paths on this host."""
    here = f"/api/v1/imports/{job.uuid}"
    of_dry_run = (
        {"commit": f"{here}/commit", "changes": f"{here}/results/changes"} if job.kind == ImportJob.Kind.DRY_RUN else {}
    )
    of_parts = {"parts": f"{here}/parts", "close": f"{here}/close"} if job.open_until is not None else {}
    return {
        "status": here,
        "socket": f"{here}/socket-ticket",
        "results": f"{here}/results",
        "cancel": f"{here}/cancel",
        "retry": f"{here}/retry",
        "undo": f"{here}/undo",
        "quality": f"{here}/quality",
        **of_dry_run,
        **of_parts,
    }
