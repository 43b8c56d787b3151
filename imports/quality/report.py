"""A job's quality as its customer reads it, and how it went over the last imports."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict

from imports.models import ImportJob, QualityScore
from imports.progress import wire_time
from imports.quality import formula
from imports.quality.formula import Trend
from imports.refusal import Refusal

DEFAULT_JOBS: Final = 10
"""So many imports, the latest among them, make a trend."""

COUNTED: Final = ("records", "unjudged", "unkeyed", "repeated", "malformed", "unfit", "broken", "fields", "missing")


class TypeQuality(TypedDict):
    """Of a whole job or of one of its record types."""

    score: float | None
    trend: Trend | None
    dimensions: dict[str, float | None]
    counts: dict[str, int]
    outcomes: dict[str, int]


class FieldQuality(TypedDict):
    """Of one field of a mapping: of `records` that came to it, `missing` had no value and `unfit` one that is none."""

    type: str
    target: str
    records: int
    missing: int
    unfit: int
    completeness: float | None
    validity: float | None
    score: float | None
    trend: Trend | None


class FieldHistory(FieldQuality):
    scores: list[float | None]


class Reason(TypedDict):
    type: str
    code: str
    records: int


class Quality(TypeQuality):
    announced: int | None
    received: int
    byType: dict[str, TypeQuality]
    fields: list[FieldQuality]
    reasons: list[Reason]


def of_job(job: ImportJob) -> Quality:
    """Raises Refusal (wrong_state) until the job has ended: a score of half a file would be taken for that of all."""
    if not job.is_finished:
        raise Refusal("wrong_state", "The quality of an import is known when it has ended.")
    rows = list(QualityScore.objects.filter(job=job).order_by("record_type", "position"))
    return of_rows(rows, job)


def of_rows(rows: Sequence[QualityScore], job: ImportJob) -> Quality:
    """The same for rows that nobody saved; compared with the customer's imports before the job, all where it has no
    number."""
    whole = [row for row in rows if not row.record_type]
    types = list(dict.fromkeys(row.record_type for row in rows if row.record_type))
    earlier = {name: _earlier(job, name) for name in (["", *types] if rows else [])}
    of_whole = _of_type(whole[0] if whole else QualityScore(counts={}), earlier.get("", []))
    return {
        **of_whole,
        "announced": job.announced_total,
        "received": job.total,
        "byType": {row.record_type: _of_type(row, earlier[row.record_type]) for row in rows if _is_type(row)},
        "fields": [_of_field(row, earlier[row.record_type]) for row in rows if row.position],
        "reasons": [reason for row in rows if _is_type(row) for reason in _reasons(row)],
    }


def recent(
    customer_id: int, record_type: str, *, limit: int = DEFAULT_JOBS, before: int | None = None
) -> list[QualityScore]:
    """The rows of this type ("" for whole jobs) of the last imports that have a score, newest first, in one query.

    `before` leaves out that job and those accepted after it. Dry runs are no imports.
    """
    scored = QualityScore.objects.filter(
        customer_id=customer_id, record_type=record_type, position=0, is_dry_run=False, score__isnull=False
    )
    if before is not None:
        scored = scored.filter(job_id__lt=before)
    jobs = scored.order_by("-job_id").values("job_id")[:limit]
    rows = QualityScore.objects.filter(record_type=record_type, job_id__in=jobs)
    return list(rows.select_related("job").order_by("-job_id", "position"))


def history(customer_id: int, record_type: str = "", *, limit: int = DEFAULT_JOBS) -> dict[str, Any]:
    """How the last imports went, newest first: of one type with the fields that its newest import had, else as a whole.

    A field's `scores` stand in the order of `jobs`, null where an import did not have it.
    """
    rows = recent(customer_id, record_type, limit=limit)
    jobs = [row for row in rows if not row.position]
    newest = [row for row in rows if row.position and row.job_id == jobs[0].job_id]
    scores = [row.score for row in jobs]
    return {
        "type": record_type or None,
        "score": scores[0] if scores else None,
        "trend": formula.trend(scores[0], scores[1:]) if scores else None,
        "jobs": [
            {
                "jobId": str(row.job.uuid),
                "finishedAt": wire_time(row.job.finished_at) if row.job.finished_at else None,
                "records": row.counts.get("records", 0),
                "score": row.score,
                "dimensions": _dimensions(row),
            }
            for row in jobs
        ],
        "fields": [_with_scores(row, rows, jobs) for row in newest],
    }


def _earlier(job: ImportJob, record_type: str) -> list[QualityScore]:
    return recent(job.customer_id, record_type, limit=DEFAULT_JOBS - 1, before=job.pk)


def _is_type(row: QualityScore) -> bool:
    return bool(row.record_type) and not row.position


def _of_type(row: QualityScore, earlier: Sequence[QualityScore]) -> TypeQuality:
    counts = Counter(_numbers(row))
    return {
        "score": row.score,
        "trend": formula.trend(row.score, [other.score for other in earlier if not other.position]),
        "dimensions": _dimensions(row),
        "counts": {name: counts[name] for name in COUNTED},
        "outcomes": {name: counts[name] for name in ("created", "updated", "unchanged")},
    }


def _dimensions(row: QualityScore) -> dict[str, float | None]:
    return {name: formula.shown(share) for name, share in formula.dimensions(_numbers(row)).items()}


def _numbers(row: QualityScore) -> Mapping[str, int]:
    return {name: number for name, number in row.counts.items() if name != "codes"}


def _of_field(row: QualityScore, others: Sequence[QualityScore]) -> FieldQuality:
    completeness, validity = formula.field_shares(row.counts)
    earlier = [other.score for other in others if other.field == row.field and other.job_id != row.job_id]
    return {
        "type": row.record_type,
        "target": row.field,
        "records": row.counts["records"],
        "missing": row.counts["missing"],
        "unfit": row.counts["unfit"],
        "completeness": formula.shown(completeness),
        "validity": formula.shown(validity),
        "score": row.score,
        "trend": formula.trend(row.score, earlier),
    }


def _with_scores(row: QualityScore, rows: Sequence[QualityScore], jobs: Sequence[QualityScore]) -> FieldHistory:
    by_job = {other.job_id: other.score for other in rows if other.position and other.field == row.field}
    return {**_of_field(row, rows), "scores": [by_job.get(job.job_id) for job in jobs]}


def _reasons(row: QualityScore) -> list[Reason]:
    """Records by each of their codes, so that one with two problems stands under both."""
    codes: dict[str, int] = row.counts.get("codes", {})
    return [
        {"type": row.record_type, "code": code, "records": number}
        for code, number in sorted(codes.items(), key=lambda item: (-item[1], item[0]))
    ]
