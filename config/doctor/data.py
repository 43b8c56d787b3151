"""What the tables must agree on and no constraint holds, since each would cost a look-up for every record."""

from collections.abc import Iterator
from typing import Final

from django.db import connection
from django.utils import timezone
from msgspec import ValidationError

from audit.models import AuditHead
from audit.verification import verify_chain
from config.doctor.finding import Finding, State, found
from customers import master_keys
from customers.models import DataKey
from customers.rewrapping import in_use
from imports.mapping.compiled import compile_mapping
from imports.mapping.mistake import UnfitMapping
from imports.mapping_rows import define
from imports.models import ImportJob, Mapping
from imports.retention import still_held

# The newest events; `manage.py verify_audit` reads all of them.
EVENTS_CHECKED: Final = 1_000
STUCK_SECONDS: Final = 600
# A sweeper looks each minute and works in portions.
OVERDUE_SECONDS: Final = 3600

# One reading of each table: the groups are few.
_CONTENTS: Final = """
    WITH used AS (
        SELECT customer_id, origin_job_id, changed_job_id, data_key_id, count(*) AS records
        FROM {} GROUP BY 1, 2, 3, 4
    )
    SELECT coalesce(sum(records), 0),
        coalesce(sum(records) FILTER (WHERE origin.id IS NULL OR changed.id IS NULL), 0),
        coalesce(sum(records) FILTER (WHERE data_key.id IS NULL), 0)
    FROM used
    LEFT JOIN imports_importjob origin
        ON origin.id = used.origin_job_id AND origin.customer_id = used.customer_id
    LEFT JOIN imports_importjob changed
        ON changed.id = used.changed_job_id AND changed.customer_id = used.customer_id
    LEFT JOIN customers_datakey data_key
        ON data_key.id = used.data_key_id AND data_key.customer_id = used.customer_id
        AND data_key.purpose = 'record' AND data_key.state <> 'destroyed'
"""
_BATCHES: Final = """
    SELECT count(*), count(*) FILTER (WHERE job.customer_id <> batch.customer_id)
    FROM imports_importbatch batch JOIN imports_importjob job ON job.id = batch.job_id
"""
_FAILED: Final = """
    WITH used AS (
        SELECT customer_id, job_id, batch_id, count(*) AS records FROM imports_failedrecord GROUP BY 1, 2, 3
    )
    SELECT coalesce(sum(records), 0), coalesce(sum(records) FILTER (WHERE batch.id IS NULL), 0)
    FROM used
    LEFT JOIN imports_importbatch batch
        ON batch.id = used.batch_id AND batch.job_id = used.job_id AND batch.customer_id = used.customer_id
"""
_RETAINED: Final = """
    SELECT
        (SELECT count(*) FROM imports_importjob
            WHERE purged_at IS NULL AND expires_at < now() - %(seconds)s * interval '1 second'
                AND status IN ('completed', 'failed')),
        (SELECT count(*) FROM imports_importjob job WHERE purged_at IS NOT NULL AND ({still_held}))
"""
_RESTORE: Final = "restore the missing rows from a backup before anything else is imported"


def references() -> Iterator[Finding]:
    """The job and data key of every record and version, every batch's customer and failed record's batch exist."""
    for subject, table in (("Records", "imports_record"), ("Record versions", "imports_recordversion")):
        records, without_job, without_key = _counts(_CONTENTS.format(table))
        yield found(
            subject,
            not (without_job or without_key),
            f"{records:,}, each with its job and data key",
            f"{without_job:,} of {records:,} lack their job and {without_key:,} their data key: {_RESTORE}",
        )
    batches, strays = _counts(_BATCHES)
    yield found(
        "Batches",
        not strays,
        f"{batches:,}, each with its job's customer",
        f"{strays:,} of {batches:,} name another customer than their job: tell your security contact",
    )
    failed, without_batch = _counts(_FAILED)
    yield found(
        "Failed records",
        not without_batch,
        f"{failed:,}, each with its batch",
        f"{without_batch:,} of {failed:,} lack their batch: {_RESTORE}",
    )


def data_keys() -> Finding:
    """Every data key that is in use opens with a master key of MASTER_KEYS, and which of those are still needed."""
    try:
        keys = master_keys.current()
    except master_keys.MasterKeyError as err:
        return Finding("Data keys", State.FAULT, f"{err} Put MASTER_KEYS back from your backup.")
    locked = []
    usable = DataKey.objects.usable().select_related("customer").order_by("pk")
    for key in usable.iterator(chunk_size=1000):
        try:
            keys.unwrap(
                master_keys.WrappedKey(bytes(key.wrapped or b""), key.kek_id),
                customer_uuid=key.customer.uuid,
                purpose=key.purpose,
                version=key.version,
            )
        except master_keys.MasterKeyError:
            locked.append(key.kek_id)
    if locked:
        names = ", ".join(sorted(set(locked)))
        return Finding(
            "Data keys", State.FAULT, f"{len(locked):,} do not open: put master key {names} back into MASTER_KEYS"
        )
    used = in_use()
    says = "; ".join(
        f"{kek_id} wraps {used[kek_id]:,}" if kek_id in used else f"{kek_id} wraps none" for kek_id in keys.ids
    )
    if set(used) <= {keys.ids[0]}:
        return Finding("Data keys", State.OK, says)
    return Finding("Data keys", State.WARNING, f"{says}: run manage.py rewrap_data_keys, so that the old one can go")


def mappings() -> Finding:
    """Every published mapping is one that this release runs; else its batches would fail one by one."""
    unfit = []
    published = Mapping.objects.filter(state=Mapping.State.PUBLISHED).order_by("pk")
    for version in published.select_related("customer").prefetch_related("fields"):
        try:
            compile_mapping(define(version))
        except (UnfitMapping, ValidationError):
            unfit.append(f"{version.customer.slug} {version.record_type} {version.version}")
    return found(
        "Mappings",
        not unfit,
        f"{len(published):,} published, each compiles",
        f"{', '.join(unfit)} no longer compile: manage.py mappings plan FILE says why, apply a mended one",
    )


def retention() -> Finding:
    """What was to be gone by the end of a job's retention is gone, within the hour, and nothing was left behind."""
    overdue, left = _counts(
        _RETAINED.format(still_held=still_held("job")) % {"seconds": OVERDUE_SECONDS},
    )
    return found(
        "Retention",
        not (overdue or left),
        "nothing is kept beyond its time",
        f"{overdue:,} imports kept their content beyond their retention: see that a sweeper runs and what it logs; "
        f"{left:,} were purged and still hold some: tell your security contact",
    )


def oldest_waiting() -> Finding:
    """Work that nobody gets done shows as an import that is neither finished nor moving."""
    unfinished = ImportJob.objects.unfinished().filter(cancelled_at__isnull=True)
    oldest = unfinished.order_by("pk").only("created_at", "uuid").first()
    if oldest is None:
        return Finding("Imports", State.OK, "none is under way")
    seconds = (timezone.now() - oldest.created_at).total_seconds()
    says = f"{unfinished.count():,} under way, the oldest, {oldest.uuid}, for {seconds:,.0f} s"
    if seconds < STUCK_SECONDS:
        return Finding("Imports", State.OK, says)
    return Finding("Imports", State.WARNING, f"{says}: look whether its counts move and what the workers log")


def audit_trail() -> Finding:
    """The newest events continue each other and end at the head."""
    head = AuditHead.objects.filter(pk=AuditHead.ONLY).first()
    verification = verify_chain(start=max(1, (head.sequence if head else 0) - EVENTS_CHECKED + 1))
    return found(
        "Audit trail",
        verification.first_bad is None,
        f"its last {verification.count:,} events are unbroken",
        f"broken at event {verification.first_bad}: {verification.reason} Tell your security contact",
    )


def _counts(statement: str) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return [int(count) for count in cursor.fetchone()]
