"""Notes that outlive the worker: on a second connection, committed at once, beside the batch's transaction."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final
from uuid import UUID

import psycopg
from django.db import connection

from imports import checking
from imports.models import BatchAttempt, ImportBatch

DONE: Final = "done"
AGAIN: Final = "again"
STOPPED: Final = "stopped"
LOST: Final = "database lost"

# How an attempt was ended that never came to its own end, where somebody saw it.
CRASHED: Final = "crash"
OVER_MEMORY: Final = "memory limit"
OVER_TIME: Final = "time limit"

_END: Final = 'UPDATE imports_batchattempt SET ended_at = now(), "end" = %s WHERE id = %s'
_KILLS: Final = """
    SELECT "end" FROM imports_batchattempt
    WHERE batch_id = %s AND ended_at IS NULL AND started_at > pg_postmaster_start_time()
"""
# The newest attempt of that worker, unless it came to its end. A look at the newest thousand finds it, however many
# there are.
_NOTE_KILL: Final = """
    UPDATE imports_batchattempt SET "end" = %(how)s
    WHERE ended_at IS NULL AND "end" = '' AND id = (
        SELECT max(id) FROM imports_batchattempt
        WHERE worker = %(worker)s AND id > (SELECT max(id) - 1000 FROM imports_batchattempt)
    )
"""

_note: "psycopg.Connection[Any] | None" = None
_current: "Attempt | None" = None


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
    global _current
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
    _current = Attempt(number, Start(job_uuid, revision) if job_uuid is not None else None)
    return _current


def end(attempt: Attempt, how: str) -> None:
    """Notes how it ended; an attempt that was killed never comes here."""
    global _current
    _current = None
    _connection().execute(_END, [how[:20], attempt.id])


def end_lost(attempt: Attempt) -> None:
    """After the batch's connection was lost. Where the database itself is away, the time of its next start tells."""
    with suppress(psycopg.Error):
        try:
            end(attempt, LOST)
        except psycopg.OperationalError:
            # Ended with the batch's, which shows only when it is used: now another one is opened.
            end(attempt, LOST)


def note_stopping() -> None:
    """The work-horse was told to stop: what it has under way is no kill, even if it is ended before it is done.

    For a signal handler, which may have come in the middle of another note: on a connection and a thread of its own.
    """
    if _current is not None:
        Thread(target=_note_stopped, args=(_current, _parameters()), daemon=True).start()


def note_kill(worker: str, how: str) -> None:
    """How the work-horse of `worker` was ended, said by its parent, who forks: so on a connection of its own."""
    with suppress(psycopg.Error), psycopg.connect(**_parameters(), autocommit=True) as session:
        session.execute(_NOTE_KILL, {"how": how, "worker": worker[:100]})


def kills_of(batch: ImportBatch) -> list[str]:
    """How each process that died over this batch was ended, "" where nobody saw it.

    With the batch's row locked nobody is at work on it now. What was under way when the database itself went down is no
    kill.
    """
    with connection.cursor() as cursor:
        cursor.execute(_KILLS, [batch.pk])
        return [how for (how,) in cursor.fetchall()]


def reason_of(kills: Sequence[str]) -> str:
    """Why a record fails over which all these processes died.

    Only what most of them were seen to crash over is the record's own fault. A limit that is reached or a worker that
    vanished with its parent may be the server's, so such a record is tried again.
    """
    if 2 * kills.count(CRASHED) > len(kills):
        return "kills_worker"
    return "limit_exceeded" if {OVER_MEMORY, OVER_TIME} & set(kills) else "worker_stopped"


def failed_before(batch: ImportBatch) -> int:
    """How often work on this batch ended in an error of its own."""
    ended = BatchAttempt.objects.filter(batch_id=batch.pk, ended_at__isnull=False)
    return ended.exclude(end__in=(DONE, AGAIN, STOPPED, LOST, *checking.STORE_CODES)).count()


def timed_out_before(batch: ImportBatch) -> int:
    """How often work on this batch ended for a reason that may pass."""
    return BatchAttempt.objects.filter(batch_id=batch.pk, ended_at__isnull=False, end__in=checking.STORE_CODES).count()


def _connection() -> "psycopg.Connection[Any]":
    """Opened once a process, with the settings of Django's own connection; opened again where it was lost."""
    global _note
    wanted = connection.settings_dict["NAME"]
    if _note is not None and (_note.closed or _note.info.dbname != wanted):
        _note.close()
        _note = None
    if _note is None:
        _note = psycopg.connect(**_parameters(), autocommit=True)
        # A note must outlive its worker. It need not outlive the database: only attempts since its start count.
        _note.execute("SET synchronous_commit = off")
    return _note


def _parameters() -> dict[str, Any]:
    parameters: dict[str, Any] = connection.get_connection_params()
    for django_only in ("cursor_factory", "context", "prepare_threshold", "server_side_binding", "pool"):
        parameters.pop(django_only, None)
    return parameters


def _note_stopped(attempt: Attempt, parameters: dict[str, Any]) -> None:
    with suppress(psycopg.Error), psycopg.connect(**parameters, autocommit=True) as session:
        session.execute(f"{_END} AND ended_at IS NULL", [STOPPED, attempt.id])
