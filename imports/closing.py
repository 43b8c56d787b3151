"""An open job is complete: its records get their order, and from here on it is an import like any other."""

from typing import Final

from audit.trail import audited, record
from customers.models import Customer
from imports import doorbell, intake, mappers, parts, publishing
from imports.after_commit import after_commit
from imports.models import ImportJob, ImportPart
from imports.refusal import Refusal

_NAMED: Final = 100


def close(job: ImportJob, *, expected_parts: int | None = None, expected_records: int | None = None) -> ImportJob:
    """The job, waiting for a worker; closed once, however often it is asked for. Raises Refusal and leaves it open.

    What the caller says it sent must be what has arrived, and no number between the first part and the last be missing.
    """
    with audited():
        Customer.objects.select_for_update(no_key=True).get(pk=job.customer_id)
        job = ImportJob.objects.select_for_update(no_key=True).get(pk=job.pk)
        if job.open_until is None:
            _refuse_unless_closed(job)
            _refuse_incomplete(job, expected_parts, expected_records)
            return job
        part_count = _refuse_incomplete(job, expected_parts, expected_records or job.expected_total)
        intake.refuse_beyond_limit(job.customer_id, job.kind)
        parts.arrange(job)
        # Now and not on opening: hours may lie between, and only from here on is it an import like any other.
        job.mappings = mappers.pin(job.customer_id)
        job.announced_total = expected_records or job.announced_total
        job.open_until = None
        job.status_reason = ""
        job.revision += 1
        job.save(update_fields=["mappings", "announced_total", "open_until", "status_reason", "revision"])
        record(
            f"{job.kind}.accepted",
            target=f"import:{job.uuid}",
            customer_id=job.customer_id,
            record_count=job.total,
            detail={"batches": job.batch_count, "parts": part_count, **mappers.as_detail(job)},
        )
        after_commit(doorbell.ring, job.pk)
        after_commit(publishing.publish, job.pk, job.uuid, job.revision)
    return job


def foresee(job: ImportJob) -> None:
    """Before the body comes: raises Refusal where the job neither is open nor was closed."""
    if job.open_until is None:
        _refuse_unless_closed(job)


def _refuse_unless_closed(job: ImportJob) -> None:
    if job.cancelled_at is not None or not parts.is_in_parts(job):
        reason = job.status_reason or job.status
        raise Refusal("wrong_state", f"This import is not open and can not be closed ({reason}).")


def _refuse_incomplete(job: ImportJob, expected_parts: int | None, expected_records: int | None) -> int:
    """How many parts there are. Raises Refusal with what is missing or too much."""
    arrived = set(ImportPart.objects.filter(job=job).values_list("number", flat=True))
    wanted = set(range(1, max(expected_parts or 0, max(arrived, default=1)) + 1))
    errors = [
        (f"/parts/{number}", "part_missing", f"Part {number} has not arrived.")
        for number in sorted(wanted - arrived)[:_NAMED]
    ]
    if expected_parts is not None:
        errors += [
            (f"/parts/{number}", "part_unexpected", f"Part {number} has arrived and is not among those announced.")
            for number in sorted(number for number in arrived if number > expected_parts)[:_NAMED]
        ]
    if expected_records is not None and expected_records != job.total:
        detail = f"{job.total:,} records have arrived and {expected_records:,} were announced."
        errors.append(("/records", "count_differs", detail))
    if errors:
        raise Refusal(
            "import_incomplete",
            "What has arrived is not what was announced; the import is still open. See errors.",
            errors=tuple(errors),
        )
    return len(arrived)
