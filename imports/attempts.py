"""Notes that outlive the worker: on a second connection, committed at once, beside the batch's transaction."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import psycopg
from django.db import connection

from imports.models import BatchAttempt, ImportBatch

DONE: Final = "done"
AGAIN: Final = "again"

_note: "psycopg.Connection[Any] | None" = None


@dataclass(frozen=True, slots=True)
class Start:
    """That this attempt was the job's first: from now on the job is being processed."""

    job_uuid: UUID
    revision: int


@dataclass(frozen=True, slots=True)
class Attempt:
    id: int
    start: Start | None


def begin(batch: ImportBatch, *, worker: str) -> Attempt:
    """Notes that work on the batch begins and, for the first batch, that its job is being processed."""
    notes = _connection()
    row = notes.execute(
        """
        WITH job AS (
            UPDATE imports_importjob SET status = 'processing', started_at = now(), revision = revision + 1
            WHERE id = %(job)s AND status = 'pending' RETURNING uuid, revision
        ), attempt AS (
            INSERT INTO imports_batchattempt (batch_id, customer_id, worker, started_at, "end")
            VALUES (%(batch)s, %(customer)s, %(worker)s, now(), '') RETURNING id
        )
        SELECT attempt.id, job.uuid, job.revision FROM attempt LEFT JOIN job ON true
        """,
        {"job": batch.job_id, "batch": batch.pk, "customer": batch.customer_id, "worker": worker[:100]},
    ).fetchone()
    assert row is not None  # noqa: S101 - the inserted row is there
    number, job_uuid, revision = row
    return Attempt(number, Start(job_uuid, revision) if job_uuid is not None else None)


def end(attempt: Attempt, how: str) -> None:
    """Notes how it ended; an attempt that was killed never comes here."""
    _connection().execute(
        'UPDATE imports_batchattempt SET ended_at = now(), "end" = %s WHERE id = %s', [how[:20], attempt.id]
    )


def failed_before(batch: ImportBatch) -> int:
    """How often work on this batch ended in an error of its own."""
    ended = BatchAttempt.objects.filter(batch_id=batch.pk, ended_at__isnull=False)
    return ended.exclude(end__in=(DONE, AGAIN)).count()


def _connection() -> "psycopg.Connection[Any]":
    """Opened once a process, with the settings of Django's own connection; opened again where it was lost."""
    global _note
    wanted = connection.settings_dict["NAME"]
    if _note is not None and (_note.closed or _note.info.dbname != wanted):
        _note.close()
        _note = None
    if _note is None:
        parameters = connection.get_connection_params()
        for django_only in ("cursor_factory", "context", "prepare_threshold", "server_side_binding", "pool"):
            parameters.pop(django_only, None)
        _note = psycopg.connect(**parameters, autocommit=True)
        # A note must outlive its worker. It need not outlive the database: only attempts since its start count.
        _note.execute("SET synchronous_commit = off")
    return _note
