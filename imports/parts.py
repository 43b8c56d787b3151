"""Parts of an open job: each is committed with its batches before it is answered, and counted once however often it
comes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import connection, transaction

from audit.clock import database_now
from customers.keyring import keyring
from imports import intake, publishing
from imports.after_commit import after_commit
from imports.envelope import CSV, open_part
from imports.intake import Submission
from imports.json_document import MAX_RECORDS
from imports.models import ImportJob, ImportPart
from imports.refusal import Refusal

MAX_PARTS: Final = 10_000
IDLE_HOURS: Final = 24
# A part has far fewer batches than this. So the number of a batch follows from its part and its place in the part,
# needs no count of what came before, and never changes: its ciphertext is bound to it.
_NUMBERS_A_PART: Final = 100_000


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is stored of a part; `total_records` counts all parts so far. `is_new` False: it was there before."""

    number: int
    record_count: int
    wire_bytes: int
    total_records: int
    is_new: bool


def receive(submission: Submission, *, job: ImportJob, number: int, wire_bytes: int) -> Receipt:
    """Stores a part under its number (1 to 10,000), or finds it stored. Raises Refusal and leaves the job as it was.

    No lock is held while the part is read and encrypted; parallel parts of a job meet only in the last statement.
    """
    if not 1 <= number <= MAX_PARTS:
        raise Refusal("invalid_parameter", f"A part's number is from 1 to {MAX_PARTS:,}.")
    refuse_closed(job)
    known = _known(submission, job, number)
    if known is not None:
        return known
    _refuse_beyond_bytes(job, len(submission.body))
    records = open_part(submission.body, media_type=submission.media_type, parameters=submission.parameters)
    _refuse_beyond_records(job, len(records))
    rows = intake.batch_rows(
        records, keyring(job.customer_id), job.uuid, job.customer_id, first_sequence=(number - 1) * _NUMBERS_A_PART
    )
    with transaction.atomic():
        if not _insert(submission, job, number, wire_bytes=wire_bytes, record_count=len(records)):
            known = _known(submission, job, number)
            if known is None:  # whoever was first has taken it back
                raise Refusal("part_conflict", "This part is just being received; send it again.", retry_after=1)
            return known
        intake.insert_batches(job, rows)
        total = _count(job, records=len(records), batches=len(rows), size=len(submission.body))
    return Receipt(number, len(records), wire_bytes, total, is_new=True)


def foresee(job: ImportJob, number: int, *, body_digest: bytes, form: str, least_bytes: int) -> bool:
    """Whether this part is stored already, so that its body need not come. Raises Refusal where it could not be.

    `least_bytes`: what it has unpacked, as far as that is known before it comes.
    """
    refuse_closed(job)
    if _stored(job, number, body_digest=body_digest, form=form) is not None:
        return True
    _refuse_beyond_bytes(job, least_bytes)
    return False


def max_bytes() -> int:
    """What the parts of one job may have together, unpacked."""
    return int(settings.IMPORT_MAX_MB) * 2**20


def arrived(job: ImportJob) -> list[ImportPart]:
    """What has come so far, by number."""
    return list(ImportPart.objects.filter(job=job).order_by("number"))


def arrange(job: ImportJob) -> None:
    """Gives the batches of all parts their places in the job, in the order of the parts. With the job's row locked."""
    with connection.cursor() as cursor:
        cursor.execute(_ARRANGE, {"job": job.pk})


def refuse_closed(job: ImportJob) -> None:
    """Raises Refusal wrong_state unless the job takes parts."""
    if job.open_until is None:
        raise Refusal("wrong_state", "This import takes no parts: it was closed, has ended, or came in one piece.")


def digest_of(job: ImportJob) -> bytes | None:
    """What names the content of a job for good: the SHA-256 of its body or, in parts, that of its parts' digests, 32
    bytes each, in the order of their numbers. None while it takes parts."""
    if job.open_until is not None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(_DIGEST, {"job": job.pk})
        (of_parts,) = cursor.fetchone()
    return bytes(job.body_digest if of_parts is None else of_parts)


def is_in_parts(job: ImportJob) -> bool:
    """Whether the job was opened for parts, also when it has long been closed."""
    return job.open_until is not None or ImportPart.objects.filter(job=job).exists()


def _known(submission: Submission, job: ImportJob, number: int) -> Receipt | None:
    form = form_of(submission.media_type, submission.parameters)
    part = _stored(job, number, body_digest=submission.body_digest, form=form)
    if part is None:
        return None
    total = ImportJob.objects.values_list("total", flat=True).get(pk=job.pk)
    return Receipt(number, part.record_count, part.wire_bytes, total, is_new=False)


def _stored(job: ImportJob, number: int, *, body_digest: bytes, form: str) -> ImportPart | None:
    part = ImportPart.objects.filter(job=job, number=number).first()
    if part is not None and (bytes(part.body_digest) != body_digest or part.form != form):
        raise Refusal("part_conflict", f"Part {number} has arrived with another body; give this one another number.")
    return part


def form_of(media_type: str, parameters: Mapping[str, str]) -> str:
    """The same bytes may mean other records: a CSV's rows get their type from the address."""
    default_type = parameters.get("type", "") if media_type == CSV else ""
    return f"{media_type} {default_type}".strip()[:100]


# Waits for whoever is storing the same part at this moment.
_INSERT: Final = """
    INSERT INTO imports_importpart
        (job_id, customer_id, number, body_digest, form, wire_bytes, record_count, created_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, now())
    ON CONFLICT (job_id, number) DO NOTHING RETURNING id
"""


def _insert(submission: Submission, job: ImportJob, number: int, *, wire_bytes: int, record_count: int) -> bool:
    form = form_of(submission.media_type, submission.parameters)
    row = (job.pk, job.customer_id, number, submission.body_digest, form, wire_bytes, record_count)
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, row)
        return cursor.fetchone() is not None


def _count(job: ImportJob, *, records: int, batches: int, size: int) -> int:
    """Adds the part to its job, which by now may have been closed or filled: then Refusal takes all of it back."""
    current = ImportJob.objects.select_for_update(no_key=True).get(pk=job.pk)
    refuse_closed(current)
    _refuse_beyond_records(current, records)
    _refuse_beyond_bytes(current, size)
    current.total += records
    current.received_bytes += size
    current.batch_count += batches
    current.open_until = database_now() + timedelta(hours=IDLE_HOURS)
    current.revision += 1
    current.save(update_fields=["total", "received_bytes", "batch_count", "open_until", "revision"])
    after_commit(publishing.publish, job.pk, job.uuid, current.revision)
    return current.total


def _refuse_beyond_records(job: ImportJob, records: int) -> None:
    if job.total + records > MAX_RECORDS:
        raise Refusal(
            "too_many_records",
            f"The import has {job.total:,} records and takes at most {MAX_RECORDS:,}; this part has {records:,}. "
            "It was not stored and the import is still open.",
        )


def _refuse_beyond_bytes(job: ImportJob, size: int) -> None:
    most = max_bytes()
    if job.received_bytes + size > most:
        raise Refusal(
            "too_many_bytes",
            f"The import has {job.received_bytes:,} bytes unpacked and takes at most {most:,}; with this part it would "
            "have more. It was not stored and the import is still open.",
        )


_DIGEST: Final = """
    SELECT sha256(string_agg(body_digest, ''::bytea ORDER BY number)) FROM imports_importpart WHERE job_id = %(job)s
"""

_ARRANGE: Final = """
    UPDATE imports_importbatch batch SET first_index = place.first_index
    FROM (
        SELECT id, sum(record_count) OVER (ORDER BY sequence) - record_count AS first_index
        FROM imports_importbatch WHERE job_id = %(job)s
    ) place
    WHERE batch.id = place.id AND batch.first_index <> place.first_index
"""
