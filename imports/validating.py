"""The pipeline without its writing: what would become of these records."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction

from audit.trail import audited, record
from customers.keyring import keyring
from imports import batching, mappers, storing
from imports.envelope import open_envelope
from imports.failures import Failure
from imports.intake import Submission, accept
from imports.models import ImportJob
from imports.outcome import Outcome
from imports.processing import sort_out
from imports.status import INLINE_ERRORS, SUMMARY_LINES, name_error

AT_ONCE: Final = 20_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """The wire's answer to a validation: {valid, total, failed, errors, errorSummary, would, …}."""

    body: dict[str, Any]


def validate(submission: Submission) -> Verdict | ImportJob:
    """A verdict for up to 20,000 records, else the dry-run job that will find it. Raises Refusal."""
    envelope = open_envelope(submission.body, media_type=submission.media_type, parameters=submission.parameters)
    if len(envelope.records) > AT_ONCE:
        return accept(submission, kind=ImportJob.Kind.DRY_RUN)
    keys = keyring(submission.customer_id)
    published = mappers.published(submission.customer_id)
    outcomes: Counter[Outcome] = Counter()
    failures: list[Failure] = []
    for part in batching.split(envelope.records):
        sorted_out = sort_out(
            part.records,
            superseded=frozenset(part.superseded),
            first_index=part.first_index,
            keys=keys,
            mappers=published,
            seal=False,
        )
        with transaction.atomic():
            answer = storing.compare(sorted_out.incoming, customer_id=submission.customer_id)
        sorted_out.note(answer, first_index=part.first_index)
        outcomes.update(Outcome(bytes([byte])) for byte in sorted_out.outcomes)
        failures += sorted_out.failures
    with audited():
        record(
            "import.validated",
            target=f"request:{submission.request_id}",
            customer_id=submission.customer_id,
            record_count=len(envelope.records),
            detail={"failed": len(failures)},
        )
    return Verdict(_answer(len(envelope.records), outcomes, failures))


def _answer(total: int, outcomes: Counter[Outcome], failures: list[Failure]) -> dict[str, Any]:
    reasons = Counter((failure.problems[0].code, failure.problems[0].place) for failure in failures)
    return {
        "valid": not failures,
        "total": total,
        "failed": outcomes[Outcome.FAILED],
        "superseded": outcomes[Outcome.SUPERSEDED],
        "errors": [name_error(failure) for failure in failures[:INLINE_ERRORS]],
        "errorsTruncated": len(failures) > INLINE_ERRORS,
        "errorSummary": [
            {"code": code, "pointer": pointer, "count": count}
            for (code, pointer), count in sorted(reasons.items(), key=lambda reason: (-reason[1], reason[0]))[
                :SUMMARY_LINES
            ]
        ],
        "would": {
            "create": outcomes[Outcome.CREATED],
            "update": outcomes[Outcome.UPDATED],
            "unchanged": outcomes[Outcome.UNCHANGED],
        },
    }
