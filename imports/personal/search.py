"""Every place where a person's data may lie, looked through in little memory: records and what they held before, failed
records, payloads.

All but payloads are found by blind index. Payloads have none, so each that is kept is opened and read; with paths to
related records so are all records and what they held before.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from django.db.models import Q, Sum

from customers.cipher import DecryptionError, Opener
from customers.keyring import Keyring, keyring
from imports import batching, checking
from imports.failures import Failure, open_failures
from imports.intake import payload_row
from imports.models import FailedRecord, ImportBatch, ImportJob, Record, RecordVersion
from imports.outcome import BY_BYTE
from imports.personal.subject import Subject, Tie
from imports.progress import wire_time
from imports.retrying import as_it_stands
from imports.status import KINDS
from imports.storing import record_row

Place = Literal["record", "earlier", "failed", "sent"]
PLACES: Final[tuple[Place, ...]] = ("record", "earlier", "failed", "sent")

Bytes = bytes | memoryview
Content = Record | RecordVersion

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """One stored content. `job` and `index` say what brought it, `about` is what else is known of it: codes and times.

    `edited` is what somebody put in the place of a failed record.
    """

    place: Place
    tie: Tie
    type: str
    job: ImportJob
    index: int
    at: datetime
    content: bytes = field(repr=False)
    about: Mapping[str, str | None]
    edited: bytes | None = field(default=None, repr=False)


@dataclass(slots=True)
class Search:
    """A look through all that is kept of one customer. `unreadable` are the ciphertexts that did not open.

    `step` is told after each payload how many of how many have been read.
    """

    subject: Subject
    step: Callable[[int, int], None] = lambda done, total: None
    unreadable: set[tuple[str, int]] = field(default_factory=set)
    _keys: Keyring = field(init=False, repr=False)
    _records: Opener = field(init=False, repr=False)
    _payloads: Opener = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._keys = keyring(self.subject.customer_id)
        self._records = self._keys.opener("imports_record", "payload")
        self._payloads = self._keys.opener("imports_importbatch", "payload")

    def run(self) -> Iterator[Found]:
        """Records first, then place by place what was sent and what of it failed. Raises DecryptionError for no key."""
        yield from self.records()
        failed = self.failed_by_batch()
        batches = batches_of(self.subject.customer_id)
        for number, batch_id in enumerate(batches, 1):
            yield from self._in_batch(batch_id, failed.get(batch_id, set()))
            self.step(number, len(batches))

    def records(self) -> Iterator[Found]:
        """What is stored now, and what later imports replaced, as long as that can be undone."""
        for row, tie in self.rows(Record):
            yield from self._content("record", tie, row)
        for version, tie in self.rows(RecordVersion):
            yield from self._content("earlier", tie, version)

    def rows(self, model: type[Content]) -> Iterator[tuple[Content, Tie]]:
        """The person's own by blind index and, where related ones are wanted, those among all others."""
        of_customer = model.objects.filter(customer_id=self.subject.customer_id).order_by("type", "key", "pk")
        rows = of_customer.select_related("changed_job").defer("changed_job__metadata")
        yield from ((row, "own") for row in rows.filter(_keyed(self.subject.keys(self._keys.index))))
        if self.subject.related:
            # Of the many that are opened only the few that are meant become objects.
            for found in of_customer.values_list("pk", "type", "key", "payload").iterator(chunk_size=1000):
                content = self._open_record(model, *found)
                if content is not None and self.subject.tie(content) == "related":
                    yield from ((row, "related") for row in rows.filter(pk=found[0]))

    def failed_by_batch(self) -> dict[int, set[int]]:
        """Batch -> indexes of failed records that are the person's by their blind index, or by what was edited.

        Those that name no known type have no blind index; they are found by what was sent.
        """
        rows = FailedRecord.objects.filter(customer_id=self.subject.customer_id, payload__isnull=False)
        # A key stands for type and id, and its row's type is the one that it was sent with: an edit may have another.
        keys = [key for _, key in self.subject.keys(self._keys.index)]
        own = rows.filter(type__in=FailedRecord.TYPES, key__in=keys)
        places = set(own.values_list("batch_id", "index"))
        if self.subject.related:
            edited = rows.filter(edited__isnull=False).select_related("job").defer("job__metadata")
            for row in edited.iterator(chunk_size=1000):
                if self.subject.tie(as_it_stands(row, row.job, self._keys)) is not None:
                    places.add((row.batch_id, row.index))
        found: dict[int, set[int]] = defaultdict(set)
        for batch_id, index in places:
            found[batch_id].add(index)
        return found

    def places_in(self, batch: ImportBatch, raws: Iterable[bytes], failed: set[int]) -> dict[int, Tie]:
        """Offset in the batch -> tie, of what was sent or failed there."""
        ties: dict[int, Tie] = {}
        for offset, raw in enumerate(raws):
            tie = self.subject.tie(raw)
            if tie is None and raw and batch.first_index + offset in failed:
                tie = "own"
            if tie is not None:
                ties[offset] = tie
        return ties

    def unpack(self, batch: ImportBatch) -> list[bytes] | None:
        """What was sent; None where it has gone, or does not open, which is counted."""
        if batch.payload is None:
            return None
        try:
            packed = self._payloads.open(bytes(batch.payload), payload_row(batch.job.uuid, batch.sequence))
            return batching.unpack(packed)
        except DecryptionError as error:
            self._note_unreadable("imports_importbatch", batch.pk, error)
            return None

    def _in_batch(self, batch_id: int, failed: set[int]) -> Iterator[Found]:
        batch = ImportBatch.objects.select_related("job").defer("job__metadata").filter(pk=batch_id).first()
        raws = self.unpack(batch) if batch is not None else None
        if batch is None or raws is None:
            return
        ties = self.places_in(batch, raws, failed)
        if not ties:
            return
        outcomes = bytes(batch.outcomes or b"")
        for offset, tie in ties.items():
            index = batch.first_index + offset
            outcome = BY_BYTE[outcomes[offset]].label if outcomes else batch.state
            about = {"kind": KINDS[batch.job.kind], "outcome": outcome}
            record_type = checking.identity(raws[offset])[1]
            yield Found("sent", tie, record_type, batch.job, index, batch.job.created_at, raws[offset], about)
        indexes = [batch.first_index + offset for offset in ties]
        failures = FailedRecord.objects.filter(job=batch.job, index__in=indexes, payload__isnull=False)
        rows = list(failures.order_by("index"))
        for row, failure in zip(rows, open_failures(batch.job, rows, self._keys), strict=True):
            yield self._failed(row, failure, ties[row.index - batch.first_index], batch.job)

    def _failed(self, row: FailedRecord, failure: Failure, tie: Tie, job: ImportJob) -> Found:
        first = failure.problems[0]
        about = {"state": row.state, "code": row.code, "pointer": first.pointer, "message": first.message}
        edited = as_it_stands(row, job, self._keys) if row.edited is not None else None
        return Found("failed", tie, row.type, job, row.index, row.created_at, failure.raw, about, edited)

    def _content(self, place: Place, tie: Tie, row: Content) -> Iterator[Found]:
        content = self._open_record(type(row), row.pk, row.type, row.key, row.payload)
        if content is not None:
            about = {"createdAt": wire_time(row.created_at), "updatedAt": wire_time(row.updated_at)}
            yield Found(place, tie, row.type, row.changed_job, row.changed_index, row.updated_at, content, about)

    def _open_record(
        self, model: type[Content], number: int, record_type: str, key: Bytes, payload: Bytes
    ) -> bytes | None:
        try:
            return self._records.open(bytes(payload), record_row(record_type, bytes(key)))
        except DecryptionError as error:
            self._note_unreadable(model._meta.db_table, number, error)
            return None

    def _note_unreadable(self, table: str, number: int, error: DecryptionError) -> None:
        if error.code == "destroyed_key":
            raise error
        self.unreadable.add((table, number))
        logger.error("ciphertext_unreadable table=%s id=%s cause=%s", table, number, error.code)


def batches_of(customer_id: int, *, up_to: int | None = None) -> list[int]:
    """Batches whose payload is kept, in the order of jobs and places: of all jobs, or of those up to a number and of
    imports that a dry run up to it was committed as, since their content is as old as that."""
    batches = ImportBatch.objects.filter(job__customer_id=customer_id, payload__isnull=False)
    if up_to is not None:
        batches = batches.filter(Q(job_id__lte=up_to) | Q(job__dry_run_id__lte=up_to))
    return list(batches.order_by("job_id", "sequence").values_list("pk", flat=True))


def kept_records(customer_id: int) -> int:
    """How many records stand in payloads that are kept: what a search has to look through, beside stored records."""
    batches = ImportBatch.objects.filter(job__customer_id=customer_id, payload__isnull=False)
    return batches.aggregate(records=Sum("record_count"))["records"] or 0


def by_place(counts: Counter[Place]) -> dict[str, int]:
    """The counts with every place named, also where there was nothing."""
    return {place: counts[place] for place in PLACES}


def _keyed(keys: Iterable[tuple[str, bytes]]) -> Q:
    """Rows of any of these types and blind indexes; none where there are none."""
    wanted = Q(pk__in=())
    for record_type, key in keys:
        wanted |= Q(type=record_type, key=key)
    return wanted
