"""What an undo would do, how far one is, and which records it leaves as they are."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, TypedDict

from django.db import connection, transaction
from django.db.models import Count

from customers.keyring import keyring
from imports import batching, checking
from imports.intake import payload_row
from imports.models import FailedRecord, ImportBatch, ImportJob, KeptRecord, Undo
from imports.progress import wire_time
from imports.refusal import Refusal
from imports.sightings import JUDGE, edits_of, load, sightings_of
from imports.undoing import refuse_unless_possible

# What lies upon, or confirms, an earlier record of the same import is gone by the time that record's turn comes.
_FORESEE: Final = f"""
    SELECT CASE
            WHEN by_job = %(job)s AND what IN ('take_first', 'take_out', 'confirmed') THEN
                CASE WHEN before_id IS NULL THEN 'remove' ELSE 'restore' END
            WHEN what IN ('take_first', 'take_out') THEN 'changed'
            ELSE what END AS foreseen,
        job.kind = 'edit' AS is_edit, count(*)
    FROM ({JUDGE}) judged LEFT JOIN imports_importjob job ON job.id = by_job
    WHERE is_change OR what IN ('remove', 'restore')
    GROUP BY 1, 2
"""  # noqa: S608 - our own names


class Plan(TypedDict):
    """Counts of records; `keptBecause` by the reasons of KeptRecord."""

    remove: int
    restore: int
    keep: int
    gone: int
    discard: int
    keptBecause: dict[str, int]


def plan(job: ImportJob) -> Plan:
    """What an undo would do as things stand; nothing is written. Raises Refusal where it is not possible."""
    refuse_unless_possible(job)
    found: Counter[str] = Counter()
    batches = ImportBatch.objects.filter(job=job, state=ImportBatch.State.DONE).order_by("-first_index")
    for batch_id in list(batches.values_list("pk", flat=True)):
        found += _foresee(ImportBatch.objects.get(pk=batch_id), job)
    kept = {reason: found[reason] for reason in KeptRecord.Reason.values if found[reason]}
    open_failures = FailedRecord.objects.filter(job=job, state__in=FailedRecord.UNRESOLVED)
    return {
        "remove": found["remove"],
        "restore": found["restore"],
        "keep": sum(kept.values()),
        "gone": found["gone"],
        "discard": open_failures.count(),
        "keptBecause": kept,
    }


def _foresee(batch: ImportBatch, job: ImportJob) -> Counter[str]:
    if batch.payload is None:
        raise Refusal("results_expired", "What this import replaced has been removed, so it can no longer be undone.")
    found: Counter[str] = Counter({KeptRecord.Reason.EDITED.value: len(edits_of(batch))})
    with transaction.atomic(), connection.cursor() as cursor:
        load(cursor, sightings_of(batch, job=job, keys=keyring(job.customer_id)))
        cursor.execute(_FORESEE, {"customer": job.customer_id, "job": job.pk})
        for what, is_edit, count in cursor.fetchall():
            is_edited = is_edit and what == KeptRecord.Reason.CHANGED
            found[KeptRecord.Reason.EDITED.value if is_edited else what] += count
    return found


class UndoCounts(TypedDict):
    total: int
    done: int
    removed: int
    restored: int
    kept: int
    gone: int
    discarded: int


class UndoState(TypedDict):
    """`counts.total` and `counts.done` are records of the import, as it goes from its end to its beginning."""

    jobId: str
    state: str
    stateReason: str | None
    counts: UndoCounts
    keptBecause: dict[str, int]
    startedBy: str
    createdAt: str
    finishedAt: str | None
    links: dict[str, str]


def describe(undo: Undo) -> UndoState:
    """As its owner sees it; counts only."""
    here = f"/api/v1/imports/{undo.job.uuid}"
    reasons = KeptRecord.objects.filter(undo=undo).order_by().values_list("reason").annotate(count=Count("pk"))
    return {
        "jobId": str(undo.job.uuid),
        "state": undo.state,
        "stateReason": undo.state_reason or None,
        "counts": {
            "total": undo.job.total,
            "done": undo.job.total - undo.position,
            "removed": undo.removed,
            "restored": undo.restored,
            "kept": undo.kept,
            "gone": undo.gone,
            "discarded": undo.discarded,
        },
        "keptBecause": dict(sorted(reasons)),
        "startedBy": undo.actor_id,
        "createdAt": wire_time(undo.created_at),
        "finishedAt": wire_time(undo.finished_at) if undo.finished_at else None,
        "links": {"self": f"{here}/undo", "kept": f"{here}/undo/kept", "status": here},
    }


def batches_with_kept(undo: Undo) -> list[int]:
    """Ids of the batches in which records were kept, in order. Raises Refusal where their ids have been removed."""
    batches = ImportBatch.objects.filter(job_id=undo.job_id, state=ImportBatch.State.DONE)
    if batches.filter(payload__isnull=True).exists():
        raise Refusal("results_expired", "The records of this import have been removed; the counts of its undo remain.")
    return list(batches.order_by("first_index").values_list("pk", flat=True))


def kept_lines(undo: Undo, batch_id: int) -> Iterator[dict[str, Any]]:
    """One line for each record of the batch that was kept, with the id and type it was sent with, and why."""
    batch = ImportBatch.objects.get(pk=batch_id)
    kept = KeptRecord.objects.filter(
        undo=undo, index__gte=batch.first_index, index__lt=batch.first_index + batch.record_count
    )
    found = list(kept.select_related("by_job").only("index", "reason", "by_job__uuid").order_by("index"))
    if not found:
        return
    packed = (
        keyring(undo.customer_id)
        .opener("imports_importbatch", "payload")
        .open(bytes(batch.payload or b""), payload_row(undo.job.uuid, batch.sequence))
    )
    raws = batching.unpack(packed)
    for row in found:
        external_id, record_type = checking.identity(raws[row.index - batch.first_index])
        yield {
            "index": row.index,
            "record": external_id,
            "type": record_type or None,
            "reason": row.reason,
            "jobId": str(row.by_job.uuid) if row.by_job else None,
        }
