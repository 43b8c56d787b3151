"""What an import stored, and what an undo does about each: one judgement for the plan and for the deed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db.backends.utils import CursorWrapper
from django.db.models import QuerySet

from customers.keyring import Keyring
from imports import batching, checking
from imports.copying import copy_rows
from imports.intake import payload_row
from imports.models import FailedRecord, ImportBatch, ImportJob
from imports.outcome import Outcome
from imports.storing import record_row
from imports.versions import CONTENT

CHANGED: Final = frozenset({Outcome.CREATED.byte, Outcome.UPDATED.byte})
_STORED: Final = CHANGED | {Outcome.UNCHANGED.byte}

_COLUMNS: Final = {"index": "int4", "type": "varchar", "key": "bytea", "is_change": "bool"}
_CREATE: Final = """
    CREATE TEMP TABLE IF NOT EXISTS sighting (index int4, type varchar, key bytea, is_change bool)
    ON COMMIT DELETE ROWS
"""

OF_KEY: Final = "customer_id = %(customer)s AND type = sighting.type AND key = sighting.key"

# `layer` is the content that this sighting brought, or confirmed; `before` is what that replaced. A content that was
# created replaced nothing. Confirmed contents stay while anybody who confirmed them is not undone.
JUDGE: Final = f"""
    SELECT sighting.index, sighting.is_change,
        CASE
            WHEN layer.changed_job_id IS NULL THEN
                CASE WHEN NOT sighting.is_change THEN 'none' WHEN top.id IS NULL THEN 'gone' ELSE 'changed' END
            WHEN layer.has_superseded THEN CASE WHEN sighting.is_change THEN 'superseded' ELSE 'none' END
            WHEN sighting.is_change AND (layer.origin_job_id, layer.origin_index)
                <> (layer.changed_job_id, layer.changed_index) THEN 'confirmed'
            WHEN NOT sighting.is_change AND layer.confirmed_count = 0 THEN 'none'
            WHEN NOT sighting.is_change AND (layer.confirmed_count > 1 OR NOT layer.is_undone) THEN 'release'
            WHEN before.id IS NULL AND layer.created_at <> layer.updated_at THEN
                CASE WHEN sighting.is_change THEN 'no_version' ELSE 'release' END
            WHEN layer.record_id IS NOT NULL THEN CASE WHEN before.id IS NULL THEN 'remove' ELSE 'restore' END
            ELSE CASE WHEN before.id IS NULL THEN 'take_first' ELSE 'take_out' END
        END AS what,
        CASE WHEN layer.record_id IS NOT NULL THEN layer.origin_job_id
            WHEN layer.version_id IS NOT NULL AND (layer.origin_job_id, layer.origin_index)
                <> (layer.changed_job_id, layer.changed_index) THEN layer.origin_job_id
            ELSE top.changed_job_id END AS by_job,
        top.id AS top_id, layer.record_id, layer.version_id, before.id AS before_id
    FROM sighting
    LEFT JOIN LATERAL (
        SELECT id, changed_job_id FROM imports_record WHERE {OF_KEY} LIMIT 1
    ) top ON true
    LEFT JOIN LATERAL (
        SELECT * FROM (
            SELECT id AS record_id, NULL::int8 AS version_id, {", ".join(CONTENT)} FROM imports_record WHERE {OF_KEY}
            UNION ALL
            SELECT NULL, id, {", ".join(CONTENT)} FROM imports_recordversion WHERE {OF_KEY}
        ) content
        WHERE CASE WHEN sighting.is_change
            THEN (changed_job_id, changed_index) = (%(job)s, sighting.index)
            ELSE (changed_job_id, changed_index) < (%(job)s, sighting.index)
                AND (%(job)s, sighting.index) <= (origin_job_id, origin_index) END
        LIMIT 1
    ) layer ON true
    LEFT JOIN LATERAL (
        SELECT id FROM imports_recordversion
        WHERE {OF_KEY} AND job_id = layer.changed_job_id AND index = layer.changed_index LIMIT 1
    ) before ON true
"""  # noqa: S608 - our own names
"""Needs customer and job, and the sightings loaded. `what` is one of none, gone, changed, superseded, confirmed,
release, no_version; on top remove or restore; further down take_first or take_out."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A record that the import stored. `is_change` where it created or updated, else it confirmed."""

    index: int
    type: str
    key: bytes
    is_change: bool


def sightings_of(batch: ImportBatch, *, job: ImportJob, keys: Keyring) -> list[Sighting]:
    """What the import stored of the batch under its own number, each record once; edits have numbers of their own."""
    packed = keys.opener("imports_importbatch", "payload").open(
        bytes(batch.payload or b""), payload_row(job.uuid, batch.sequence)
    )
    edited = set(failures_of(batch).filter(edit_job__isnull=False).values_list("index", flat=True))
    sightings: dict[bytes, Sighting] = {}
    for index, (raw, byte) in enumerate(
        zip(batching.unpack(packed), bytes(batch.outcomes or b""), strict=True), start=batch.first_index
    ):
        # Of one that was erased on request an empty place is left, and nothing to take back.
        if byte not in _STORED or index in edited or not raw:
            continue
        external_id, record_type = checking.identity(raw)
        if external_id is None:
            raise RuntimeError(f"Record {index} of job {job.pk} was stored and has no id.")
        sighting = Sighting(index, record_type, keys.index.key(record_type, external_id), byte in CHANGED)
        if sightings.setdefault(record_row(record_type, sighting.key), sighting) is not sighting:
            raise RuntimeError(f"Record {index} of job {job.pk} was stored twice by its batch.")
    return list(sightings.values())


def load(cursor: CursorWrapper, sightings: Sequence[Sighting]) -> None:
    """In place of what was loaded before; gone with the transaction."""
    cursor.execute(_CREATE)
    cursor.execute("DELETE FROM sighting")
    rows = [(sighting.index, sighting.type, sighting.key, sighting.is_change) for sighting in sightings]
    copy_rows(cursor, "sighting", _COLUMNS, rows)


def failures_of(batch: ImportBatch) -> QuerySet[FailedRecord]:
    """Those of its records that failed, whatever became of them since."""
    return FailedRecord.objects.filter(
        job_id=batch.job_id, index__gte=batch.first_index, index__lt=batch.first_index + batch.record_count
    )


def edits_of(batch: ImportBatch) -> list[tuple[int, int]]:
    """(index, number of the edit) of records that somebody mended: what was stored is the edit's."""
    stored = failures_of(batch).filter(edit_job__isnull=False, state=FailedRecord.State.RESOLVED)
    found = stored.order_by("index").values_list("index", "edit_job_id")
    outcomes = bytes(batch.outcomes or b"")
    return [(index, by) for index, by in found if by is not None and outcomes[index - batch.first_index] in CHANGED]
