"""A job's scores, settled once, in the transaction that ends it.

Later retries, edits and undoing leave them alone: they tell how good what came was, as it came.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_

from django.db.models import Q

from imports.models import FieldMapping, ImportJob, QualityScore
from imports.quality import formula, sums
from imports.quality.sums import Sums

ADDED = (
    "records",
    "unjudged",
    "unkeyed",
    "repeated",
    "malformed",
    "unfit",
    "broken",
    "mapped",
    "fields",
    "missing",
    "created",
    "updated",
    "unchanged",
)
"""What the row of a whole job adds up over those of its types."""


def settle(job: ImportJob) -> None:
    """Within the transaction that ends the job, after the last write to its batches; at most three statements.

    A job of which no batch was worked on has no scores.
    """
    found = sums.of_job(job.pk)
    if found:
        QualityScore.objects.bulk_create(rows(job, found, _targets(job, found)))


def rows(job: ImportJob, found: Mapping[str, Sums], targets: Mapping[str, Sequence[str]]) -> list[QualityScore]:
    """The whole job first, then each type with its fields; not saved. `targets` names the fields of each mapped type.

    Of the job its customer, kind, total and announced_total are read.
    """
    whole: Counter[str] = Counter()
    made: list[QualityScore] = []
    for record_type, of_type in found.items():
        counts = Counter(of_type.counts)
        names = targets.get(record_type, ())
        counts["fields"] = counts["mapped"] * len(names)
        counts["missing"] = of_type.missing.total()
        whole.update({name: counts[name] for name in ADDED})
        made.append(_row(job, record_type, {**_present(counts), "codes": dict(of_type.codes)}))
        for position, name in enumerate(names, 1):
            of_field = {
                "records": counts["mapped"],
                "missing": of_type.missing[position],
                "unfit": of_type.unfit[position],
            }
            completeness, validity = formula.field_shares(of_field)
            score = None if completeness is None or validity is None else completeness * validity
            row = _unsaved(job, record_type, of_field, formula.shown(score))
            row.position, row.field = position, name
            made.append(row)
    announced = {} if job.announced_total is None else {"announced": job.announced_total}
    return [_row(job, "", {**_present(whole), "received": job.total, **announced}), *made]


def _row(job: ImportJob, record_type: str, counts: dict[str, object]) -> QualityScore:
    numbers = {name: number for name, number in counts.items() if isinstance(number, int)}
    return _unsaved(job, record_type, counts, formula.shown(formula.score(formula.dimensions(numbers))))


def _unsaved(job: ImportJob, record_type: str, counts: Mapping[str, object], score: float | None) -> QualityScore:
    return QualityScore(
        customer_id=job.customer_id,
        job=job,
        is_dry_run=job.kind == ImportJob.Kind.DRY_RUN,
        record_type=record_type,
        counts=counts,
        score=score,
    )


def _present(counts: Counter[str]) -> dict[str, object]:
    return {name: number for name, number in counts.items() if number}


def _targets(job: ImportJob, found: Mapping[str, Sums]) -> dict[str, list[str]]:
    """From the rows, and not compiled: a job ends also where its mapping compiles no longer."""
    pins = [(record_type, number) for record_type, number in (job.mappings or {}).items() if record_type in found]
    targets: dict[str, list[str]] = {}
    if pins:
        pinned = reduce(or_, (Q(mapping__record_type=name, mapping__version=number) for name, number in pins))
        fields = FieldMapping.objects.filter(pinned, mapping__customer_id=job.customer_id).order_by("position")
        for record_type, target in fields.values_list("mapping__record_type", "target"):
            targets.setdefault(record_type, []).append(target)
    return targets
