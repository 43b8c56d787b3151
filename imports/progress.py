"""How far a job is, in the wire's words."""

from datetime import datetime
from typing import TypedDict

from imports.models import ImportJob


class Progress(TypedDict):
    total: int
    processed: int
    failed: int


class Outcomes(TypedDict):
    created: int
    updated: int
    unchanged: int
    superseded: int
    unprocessed: int


class Snapshot(TypedDict):
    """Counts and times only. `rate` is records a second since the first batch began, `eta` seconds left or null."""

    status: str
    statusReason: str | None
    progress: Progress
    outcomes: Outcomes
    rate: float
    eta: float | None
    createdAt: str
    startedAt: str | None
    finishedAt: str | None


def snapshot(job: ImportJob, now: datetime) -> Snapshot:
    """The job's state as one reading of its row."""
    seconds = job.seconds_working(now)
    rate = job.processed / seconds if seconds > 0 else 0.0
    return {
        "status": job.status,
        "statusReason": job.status_reason or None,
        "progress": {"total": job.total, "processed": job.processed, "failed": job.failed},
        "outcomes": {
            "created": job.created,
            "updated": job.updated,
            "unchanged": job.unchanged,
            "superseded": job.superseded,
            "unprocessed": job.unprocessed,
        },
        "rate": round(rate, 1),
        "eta": round((job.total - job.processed) / rate, 1) if rate and not job.is_finished else None,
        "createdAt": wire_time(job.created_at),
        "startedAt": wire_time(job.started_at) if job.started_at else None,
        "finishedAt": wire_time(job.finished_at) if job.finished_at else None,
    }


def wire_time(at: datetime) -> str:
    """UTC to the millisecond, as 2024-03-15T00:00:00.000Z."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
