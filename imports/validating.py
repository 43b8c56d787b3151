"""The pipeline without its writing: what would become of these records."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

import msgspec
from django.db import transaction
from msgspec import Raw

from audit.trail import audited, record
from customers.keyring import Keyring, keyring
from imports import batching, changes, mappers, storing
from imports.envelope import open_envelope
from imports.failures import Failure
from imports.intake import Submission, accept
from imports.models import ImportJob
from imports.outcome import Outcome
from imports.processing import sort_out
from imports.quality import report, scores, sums
from imports.status import INLINE_ERRORS, SUMMARY_LINES, name_error
from imports.storing import Incoming

AT_ONCE: Final = 20_000
MAX_CHANGED: Final = 1_000
MAX_CHANGED_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """The wire's answer to a validation: {valid, total, failed, errors, errorSummary, would, …}."""

    body: dict[str, Any]


def validate(submission: Submission, *, with_changes: bool = False) -> Verdict | ImportJob:
    """A verdict for up to 20,000 records, else the dry-run job that will find it. Raises Refusal.

    `with_changes` puts the first records that would be created or updated into the verdict; of a job they are results.
    """
    envelope = open_envelope(submission.body, media_type=submission.media_type, parameters=submission.parameters)
    if len(envelope.records) > AT_ONCE:
        return accept(submission, kind=ImportJob.Kind.DRY_RUN)
    keys = keyring(submission.customer_id)
    published = mappers.published(submission.customer_id)
    outcomes: Counter[Outcome] = Counter()
    failures: list[Failure] = []
    changed = _Changed() if with_changes else None
    tallies: list[dict[str, Any]] = []
    for part in batching.split(envelope.records):
        plain: dict[int, bytes] | None = {} if changed and not changed.is_truncated else None
        sorted_out = sort_out(
            part.records,
            superseded=frozenset(part.superseded),
            first_index=part.first_index,
            keys=keys,
            mappers=published,
            seal=False,
            plain=plain,
        )
        with transaction.atomic():
            answer = storing.compare(sorted_out.incoming, customer_id=submission.customer_id)
        sorted_out.note(answer, first_index=part.first_index)
        outcomes.update(Outcome(bytes([byte])) for byte in sorted_out.outcomes)
        failures += sorted_out.failures
        if changed and plain is not None:
            changed.take(sorted_out.incoming, plain, keys)
        tallies.append(sorted_out.tally.as_json(sorted_out.count()))
    with audited():
        record(
            "import.validated",
            target=f"request:{submission.request_id}",
            customer_id=submission.customer_id,
            record_count=len(envelope.records),
            detail={"failed": len(failures)},
        )
    job = ImportJob(
        customer_id=submission.customer_id,
        kind=ImportJob.Kind.DRY_RUN,
        total=len(envelope.records),
        announced_total=envelope.announced,
    )
    targets = {record_type: mapper.fields for record_type, mapper in published.items()}
    quality = report.of_rows(scores.rows(job, sums.of_tallies(tallies), targets), job)
    shown = {"changes": changed.lines, "changesTruncated": changed.is_truncated} if changed else {}
    return Verdict({**_answer(len(envelope.records), outcomes, failures), "quality": quality, **shown})


@dataclass(slots=True)
class _Changed:
    """The first records that would change, as many as an answer may hold."""

    lines: list[Raw] = field(default_factory=list)
    size: int = 0
    is_truncated: bool = False

    def take(self, incoming: Sequence[Incoming], plain: dict[int, bytes], keys: Keyring) -> None:
        for line in chain.from_iterable(changes.changed(incoming, plain, keys=keys)):
            encoded = msgspec.json.encode(line)
            self.size += len(encoded)
            if len(self.lines) == MAX_CHANGED or self.size > MAX_CHANGED_BYTES:
                self.is_truncated = True
                return
            self.lines.append(Raw(encoded))


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
