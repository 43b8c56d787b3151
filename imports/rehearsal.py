"""What a version of a mapping would make of the records that came last, beside the version that is published.

Nothing is written but the audit event, and nothing that was sent is shown but masked, as the rehearsed version
classifies its fields.
"""

import copy
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from django.db.models.functions import Now
from msgspec import UNSET, Struct, UnsetType

from audit.trail import audited, record
from customers.keyring import Keyring, keyring
from customers.models import Customer
from imports import batching, checking, mapping_versions
from imports.intake import payload_row
from imports.mappers import Mapper, shown
from imports.mapping.masking import MASK, UNNAMED, Masker
from imports.models import FailedRecord, ImportBatch, ImportJob, Mapping
from imports.record_difference import changes_between

DEFAULT_LAST: Final = 1_000
MAX_LAST: Final = 100_000
DEFAULT_SAMPLES: Final = 10
MAX_SAMPLES: Final = 100
SECONDS: Final = 60.0
"""How long it may take; what was looked at by then counts."""

MAX_SHOWN_CHANGES: Final = 20
MAX_SHOWN_LENGTH: Final = 200
MAX_PLACES: Final = 100

# Records that ended or held up the processes that read them are not read here.
_HARMFUL: Final = frozenset({*checking.STORE_CODES, "kills_worker", "internal_error"})

_decode = msgspec.json.Decoder(dict[str, Any], float_hook=msgspec.Raw).decode


class ShownChange(Struct, frozen=True, rename="camel"):
    """A place by the names that the mappings give, and its masked values; UNSET where there is none."""

    place: str
    before: Any | UnsetType = UNSET
    after: Any | UnsetType = UNSET


class ShownProblem(Struct, frozen=True, rename="camel"):
    code: str
    place: str
    message: str


class Sample(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One record, named by its job and place. `problems` are those of the side on which it fails."""

    outcome: str
    job_id: str
    index: int
    changes: list[ShownChange] = []
    change_count: int = 0
    problems: list[ShownProblem] = []


class Reason(Struct, frozen=True, rename="camel"):
    code: str
    place: str
    count: int


class Rehearsal(Struct, rename="camel"):
    """`against` is None where no version is published: then with the records as they came.

    `records` = unchanged + changed + newlyFailing + newlyPassing + failing (both ways). `skipped` were not tried: they
    had ended the process that read them. `isComplete` is False where the time was up before `last` records.
    """

    customer: str
    type: str
    version: int
    against: int | None
    records: int = 0
    unchanged: int = 0
    changed: int = 0
    newly_failing: int = 0
    newly_passing: int = 0
    failing: int = 0
    skipped: int = 0
    is_complete: bool = True
    places: dict[str, int] = {}
    reasons: list[Reason] = []
    samples: list[Sample] = []


class Sent(NamedTuple):
    """A record as it was sent; `is_harmful` where it must not be read."""

    job_id: str
    position: int
    raw: bytes
    is_harmful: bool


def rehearse(
    version: Mapping, *, last: int = DEFAULT_LAST, samples: int = DEFAULT_SAMPLES, seconds: float = SECONDS
) -> Rehearsal:
    """Runs the version over the customer's last records of its type, the newest first. Raises UnfitMapping."""
    draft = Mapper(version)
    current = mapping_versions.published(version.customer, version.record_type)
    run = _Run(draft, Mapper(current) if current else None, samples)
    found = Rehearsal(version.customer.slug, version.record_type, version.version, current.version if current else None)
    deadline = time.monotonic() + seconds
    for sent in _last_sent(version.customer, version.record_type):
        if found.records + found.skipped >= last:
            break
        if time.monotonic() >= deadline:
            found.is_complete = False
            break
        run.look_at(sent, found)
    run.sum_up(found)
    counts = ("unchanged", "changed", "newly_failing", "newly_passing", "failing", "skipped")
    with audited():
        record(
            "mapping.rehearsed",
            target=f"mapping:{found.customer}/{found.type}/{found.version}",
            customer_id=version.customer_id,
            record_count=found.records,
            detail={name: getattr(found, name) for name in counts} | {"samples": len(found.samples)},
        )
    return found


class _Run:
    """Both versions, and what has been seen of them."""

    def __init__(self, draft: Mapper, current: Mapper | None, samples: int) -> None:
        self._draft, self._current = draft, current
        self._names = draft.names | (current.names if current else frozenset())
        self._masker = Masker(draft.meant)
        self._missing = {id(mapper): [0] * len(mapper.targets) for mapper in (draft, current) if mapper}
        self._wanted = samples
        self._samples: dict[str, list[Sample]] = {"newly_failing": [], "changed": [], "newly_passing": []}
        self._places: Counter[str] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()

    def look_at(self, sent: Sent, found: Rehearsal) -> None:
        if sent.is_harmful:
            found.skipped += 1
            return
        found.records += 1
        try:
            sent_record, canonical = checking.read(sent.raw)
        except checking.Refused:
            found.failing += 1
            return
        before = self._map(self._current, copy.copy(sent_record)) if self._current else canonical
        after = self._map(self._draft, sent_record)
        if isinstance(before, bytes) and isinstance(after, bytes):
            if before == after:
                found.unchanged += 1
                return
            found.changed += 1
            self._note_changed(sent, before, after)
        elif isinstance(before, bytes):
            assert not isinstance(after, bytes)  # noqa: S101 - the branch before took it
            found.newly_failing += 1
            self._reasons[after[0].code, after[0].place] += 1
            self._keep("newly_failing", sent, before, problems=after)
        elif isinstance(after, bytes):
            found.newly_passing += 1
            self._keep("newly_passing", sent, after, problems=before)
        else:
            found.failing += 1

    def sum_up(self, found: Rehearsal) -> None:
        found.places = dict(sorted(self._places.items(), key=lambda item: (-item[1], item[0]))[:MAX_PLACES])
        reasons = sorted(self._reasons.items(), key=lambda item: (-item[1], item[0]))[:MAX_PLACES]
        found.reasons = [Reason(code, place, count) for (code, place), count in reasons]
        found.samples = [sample for kept in self._samples.values() for sample in kept]

    def _map(self, mapper: Mapper, sent_record: checking.Record) -> bytes | list[checking.Problem]:
        try:
            return mapper.map(sent_record, self._missing[id(mapper)])
        except checking.Refused as refused:
            return refused.problems

    def _note_changed(self, sent: Sent, before: bytes, after: bytes) -> None:
        changes = changes_between(before, after)
        self._places.update({shown(change.pointer, self._names) for change in changes})
        if len(self._samples["changed"]) >= self._wanted:
            return
        old, new = (self._masker.mask(_decode(canonical)) for canonical in (before, after))
        listed = [
            ShownChange(
                shown(change.pointer, self._names),
                UNSET if change.before is UNSET else _short(_at(old, change.pointer)),
                UNSET if change.after is UNSET else _short(_at(new, change.pointer)),
            )
            for change in changes[:MAX_SHOWN_CHANGES]
        ]
        self._samples["changed"].append(Sample("changed", sent.job_id, sent.position, listed, len(changes)))

    def _keep(self, outcome: str, sent: Sent, passing: bytes, *, problems: Sequence[checking.Problem]) -> None:
        """A record that passes on one side alone: what is stored of it there, masked, and why it fails on the other."""
        if len(self._samples[outcome]) >= self._wanted:
            return
        masked = _short(self._masker.mask({**_decode(passing), "id": MASK}))
        change = ShownChange("", before=masked) if outcome == "newly_failing" else ShownChange("", after=masked)
        told = [ShownProblem(problem.code, problem.place, problem.message) for problem in problems]
        self._samples[outcome].append(Sample(outcome, sent.job_id, sent.position, [change], 1, told))


def _at(masked: Any, pointer: str) -> Any:
    """The masked value at a place, or the mask that stands for what is around it."""
    for step in (step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]):
        if isinstance(masked, dict):
            masked = masked.get(step, masked.get(UNNAMED, MASK))
        elif isinstance(masked, list):
            masked = masked[int(step)] if step.isdigit() and int(step) < len(masked) else MASK
        else:
            return masked
    return masked


def _short(value: Any) -> Any:
    """A value that may be long cut off, as text."""
    text = value if isinstance(value, str) else checking.encode(value).decode()
    return value if len(text) <= MAX_SHOWN_LENGTH else f"{text[: MAX_SHOWN_LENGTH - 1]}…"


def _last_sent(customer: Customer, record_type: str) -> Iterator[Sent]:
    """The customer's records of this type as they were sent with imports, the newest first, a batch held at a time.

    Those that a later record of their import replaces are left out.
    """
    keys = keyring(customer.pk)
    jobs = ImportJob.objects.filter(customer=customer, kind=ImportJob.Kind.IMPORT, expires_at__gt=Now())
    for job in jobs.order_by("-pk").only("uuid").iterator(chunk_size=100):
        batches = ImportBatch.objects.filter(job=job, payload__isnull=False).order_by("-sequence")
        for batch_id, by_type in batches.values_list("pk", "by_type").iterator(chunk_size=100):
            if not by_type or record_type in by_type:
                yield from _of_batch(job, batch_id, record_type, keys)


def _of_batch(job: ImportJob, batch_id: int, record_type: str, keys: Keyring) -> Iterator[Sent]:
    batch = ImportBatch.objects.get(pk=batch_id)
    if batch.payload is None:  # expired this very moment
        return
    opener = keys.opener("imports_importbatch", "payload")
    raws = batching.unpack(opener.open(bytes(batch.payload), payload_row(job.uuid, batch.sequence)))
    superseded = frozenset(batch.superseded)
    end = batch.first_index + batch.record_count
    failed = FailedRecord.objects.filter(job=job, index__gte=batch.first_index, index__lt=end)
    harmful_at = frozenset(failed.filter(code__in=_HARMFUL).values_list("index", flat=True))
    for offset in reversed(range(len(raws))):
        index = batch.first_index + offset
        if offset not in superseded and checking.identity(raws[offset])[1] == record_type:
            yield Sent(str(job.uuid), index, raws[offset], index in harmful_at)
