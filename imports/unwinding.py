"""One batch of an import taken back: its records become what they would be had it never been.

The contents of a record lie upon each other by origin: the newest in imports_record, those beneath in
imports_recordversion, each replaced by the one above it. What the import brought is taken out wherever it lies. On top
it makes way for what is beneath; further down nobody sees it go, and an undo of what lies above finds it gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import OperationalError, connection
from django.db.backends.utils import CursorWrapper
from django.db.models.functions import Now
from psycopg import errors

from customers.keyring import Keyring, hold
from imports.models import FailedRecord, ImportBatch, ImportJob, KeptRecord, Undo
from imports.sightings import JUDGE, OF_KEY, Sighting, edits_of, failures_of, load, sightings_of
from imports.versions import CONTENT

_VERDICT: Final = """
    CREATE TEMP TABLE IF NOT EXISTS verdict (
        index int4, is_change bool, what varchar, by_job int8,
        top_id int8, record_id int8, version_id int8, before_id int8
    ) ON COMMIT DELETE ROWS
"""
# The temporary tables have no statistics, and a plan that reads all records for each batch would never end.
_BY_INDEX: Final = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"

_LOCK: Final = f"""
    SELECT count(*) FROM (SELECT * FROM sighting ORDER BY type, key) sighting
    CROSS JOIN LATERAL (SELECT id FROM imports_record WHERE {OF_KEY} LIMIT 1 FOR UPDATE) stored
"""  # noqa: S608 - our own names

_RELEASE: Final = """
    UPDATE {table} content SET confirmed_count = confirmed_count - 1,
        origin_job_id = CASE WHEN confirmed_count = 1 THEN changed_job_id ELSE origin_job_id END,
        origin_index = CASE WHEN confirmed_count = 1 THEN changed_index ELSE origin_index END
    FROM verdict WHERE what = 'release' AND content.id = verdict.{id}
"""
_NOTE_UNDONE: Final = """
    UPDATE {table} content SET is_undone = true FROM verdict WHERE what = 'confirmed' AND content.id = verdict.{id}
"""
_REMOVE: Final = (
    "DELETE FROM imports_record stored USING verdict WHERE what = 'remove' AND stored.id = verdict.record_id"
)
_PUT_BACK: Final = f"""
    UPDATE {{table}} content SET {", ".join(f"{column} = before.{column}" for column in CONTENT)}
    FROM verdict JOIN imports_recordversion before ON before.id = verdict.before_id
    WHERE what = %(what)s AND content.id = verdict.{{id}}
"""  # noqa: S608
_FORGET_BEFORE: Final = """
    DELETE FROM imports_recordversion version USING verdict
    WHERE what IN ('restore', 'take_out') AND version.id = verdict.before_id
"""
# With the first content gone the second is the one that created the record.
_AGE_RECORD: Final = """
    UPDATE imports_record stored SET created_at = first.replaced_at
    FROM verdict JOIN imports_recordversion first ON first.id = verdict.version_id
    WHERE what = 'take_first' AND stored.id = verdict.top_id
"""
_AGE_VERSIONS: Final = """
    UPDATE imports_recordversion version SET created_at = first.replaced_at
    FROM verdict JOIN imports_recordversion first ON first.id = verdict.version_id
    WHERE what = 'take_first' AND version.customer_id = first.customer_id AND version.type = first.type
        AND version.key = first.key AND version.id <> first.id
"""
_FORGET_FIRST: Final = """
    DELETE FROM imports_recordversion version USING verdict
    WHERE what = 'take_first' AND version.id = verdict.version_id
"""
_NOTE_KEPT: Final = """
    INSERT INTO imports_keptrecord (undo_id, index, reason, by_job_id)
    SELECT %(undo)s, verdict.index,
        CASE WHEN what NOT IN ('changed', 'take_out', 'take_first') THEN what
            WHEN job.kind = 'edit' THEN 'edited' ELSE 'changed' END,
        CASE WHEN what IN ('superseded', 'no_version') THEN NULL ELSE by_job END
    FROM verdict LEFT JOIN imports_importjob job ON job.id = verdict.by_job
    WHERE is_change AND what NOT IN ('remove', 'restore', 'gone')
"""


@dataclass(slots=True)
class Unwound:
    """What became of a batch's records, and of those that failed."""

    removed: int = 0
    restored: int = 0
    kept: int = 0
    gone: int = 0
    discarded: int = 0


def unwind(undo: Undo, batch: ImportBatch, *, job: ImportJob, keys: Keyring) -> Unwound:
    """Takes back the batch, whose row is locked, within the caller's transaction.

    Raises OperationalError where the transaction must run again, DecryptionError, KeyGoneError.
    """
    unwound = Unwound(discarded=_discard(batch))
    kept = [
        KeptRecord(undo=undo, index=index, reason=KeptRecord.Reason.EDITED, by_job_id=by)
        for index, by in edits_of(batch)
    ]
    KeptRecord.objects.bulk_create(kept)
    unwound.kept += len(kept)
    with connection.cursor() as cursor:
        cursor.execute(_VERDICT)
        cursor.execute(_BY_INDEX)
        _unwind(cursor, sightings_of(batch, job=job, keys=keys), undo, unwound)
    return unwound


def _unwind(cursor: CursorWrapper, sightings: Sequence[Sighting], undo: Undo, unwound: Unwound) -> None:
    parameters = {"customer": undo.customer_id, "job": undo.job_id, "undo": undo.pk}
    load(cursor, sightings)
    cursor.execute(_LOCK, parameters)
    cursor.execute("DELETE FROM verdict")
    cursor.execute(f"INSERT INTO verdict {JUDGE}", parameters)
    cursor.execute("SELECT what, count(*), count(*) FILTER (WHERE is_change) FROM verdict GROUP BY what")
    counts = {what: (count, changes) for what, count, changes in cursor.fetchall()}
    _hold_keys(cursor, undo.customer_id)

    def apply(statement: str, *whats: str, **more: Any) -> None:
        cursor.execute(statement, more)
        if cursor.rowcount != sum(counts.get(what, (0, 0))[0] for what in whats):
            _run_again()

    if "release" in counts:
        _both(cursor, _RELEASE, counts["release"][0])
    if "confirmed" in counts:
        _both(cursor, _NOTE_UNDONE, counts["confirmed"][0])
    if "remove" in counts:
        apply(_REMOVE, "remove")
    if "restore" in counts:
        apply(_PUT_BACK.format(table="imports_record", id="record_id"), "restore", what="restore")
    if "take_out" in counts:
        apply(_PUT_BACK.format(table="imports_recordversion", id="version_id"), "take_out", what="take_out")
    if "restore" in counts or "take_out" in counts:
        apply(_FORGET_BEFORE, "restore", "take_out")
    if "take_first" in counts:
        apply(_AGE_RECORD, "take_first")
        cursor.execute(_AGE_VERSIONS)
        apply(_FORGET_FIRST, "take_first")
    cursor.execute(_NOTE_KEPT, parameters)
    unwound.kept += cursor.rowcount
    unwound.removed += counts.get("remove", (0, 0))[0]
    unwound.restored += counts.get("restore", (0, 0))[0]
    unwound.gone += counts.get("gone", (0, 0))[0]


def _both(cursor: CursorWrapper, statement: str, expected: int) -> None:
    """On whatever lies on top or beneath."""
    changed = 0
    for table, column in (("imports_record", "record_id"), ("imports_recordversion", "version_id")):
        cursor.execute(statement.format(table=table, id=column))
        changed += cursor.rowcount
    if changed != expected:
        _run_again()


def _run_again() -> None:
    raise OperationalError("A version was deleted while it was to be put back.") from errors.SerializationFailure(
        "versions were deleted by another transaction"
    )


def _hold_keys(cursor: CursorWrapper, customer_id: int) -> None:
    """Ciphertext moves between tables: its key must not be found unused in between."""
    cursor.execute(
        "SELECT DISTINCT before.data_key_id FROM verdict "
        "JOIN imports_recordversion before ON before.id = verdict.before_id WHERE what IN ('restore', 'take_out')"
    )
    hold(customer_id, [data_key_id for (data_key_id,) in cursor.fetchall()])


def _discard(batch: ImportBatch) -> int:
    """Its open failures; nobody tries them again. They go on counting as failed."""
    waiting = failures_of(batch).filter(state__in=FailedRecord.UNRESOLVED)
    locked = list(waiting.select_for_update(no_key=True).order_by("index").values_list("pk", flat=True))
    return FailedRecord.objects.filter(pk__in=locked).update(
        state=FailedRecord.State.DISCARDED,
        discard_reason=FailedRecord.DiscardReason.UNDONE,
        next_attempt_at=None,
        updated_at=Now(),
    )
