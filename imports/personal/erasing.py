"""One person's data is removed everywhere: what was accepted until now is as if the record had never been in it.

Payloads go first, so that nothing that is still to be worked on, or tried again, can bring a record back; then the
records. An erased record leaves an empty place in its payload: the others keep theirs. Of a batch that waits it counts
as superseded, since the erasure came later. What is left to do is read off the contents, so it may be killed at any
moment and asked for again.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Case, F, Max, Value, When
from django.db.models.functions import Now

from audit.trail import audited, record
from customers.keyring import KeyGoneError, hold, keyring
from customers.models import Customer
from imports import batching
from imports.intake import payload_row
from imports.models import FailedRecord, ImportBatch, ImportJob, ImportPart, Record, RecordVersion
from imports.personal.search import Place, Search, batches_of, by_place
from imports.personal.subject import Subject

AGAIN_SECONDS: Final = 0.2
# Longer than a worker may hold a batch.
PATIENCE_SECONDS: Final = 180.0


class StillHeldError(Exception):
    """Somebody holds `count` payloads of the person for too long; nothing is lost, ask for the erasure again."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} payloads are held by somebody.")
        self.count = count


@dataclass(slots=True)
class Erasure:
    """One request. `counts` says how much was removed at each place, `patience` how many seconds a held one is waited
    for."""

    request: UUID
    search: Search
    patience: float = PATIENCE_SECONDS
    counts: Counter[Place] = field(default_factory=Counter)

    @property
    def _subject(self) -> Subject:
        return self.search.subject

    def run(self) -> None:
        """Raises StillHeldError; DecryptionError where the customer's keys are gone."""
        newest = self._begin()
        self._empty_payloads(up_to=newest)
        self._delete_records(up_to=newest)
        with audited():
            record(
                "personal_data.erased",
                target=f"personal_data:{self.request}",
                customer_id=self._subject.customer_id,
                record_count=self.counts.total(),
                detail={**by_place(self.counts), "unreadable": len(self.search.unreadable)},
            )

    def _begin(self) -> int:
        """The number of the newest job that is accepted. Jobs are numbered under the customer's lock, so those that are
        accepted from now on have higher ones: what they bring came after the erasure."""
        with audited():
            Customer.objects.select_for_update(no_key=True).get(pk=self._subject.customer_id)
            jobs = ImportJob.objects.filter(customer_id=self._subject.customer_id)
            newest = jobs.aggregate(newest=Max("pk"))["newest"]
            record(
                "personal_data.erasure_begun",
                target=f"personal_data:{self.request}",
                customer_id=self._subject.customer_id,
                detail={"related": bool(self._subject.related)},
            )
        return newest or 0

    def _empty_payloads(self, *, up_to: int) -> None:
        """Until a look finds every payload empty of the person: workers take batches apart and hold them meanwhile."""
        done: set[int] = set()
        patient_until = time.monotonic() + self.patience
        while True:
            failed = self.search.failed_by_batch()
            left = [batch for batch in batches_of(self._subject.customer_id, up_to=up_to) if batch not in done]
            left += sorted(failed.keys() - set(left))
            if not left:
                return
            held = 0
            for number, batch in enumerate(left, 1):
                if self._empty(batch, failed.get(batch, set())):
                    done.add(batch)
                else:
                    held += 1
                self.search.step(number, len(left))
            if held:
                if time.monotonic() > patient_until:
                    raise StillHeldError(held)
                time.sleep(AGAIN_SECONDS)

    def _empty(self, batch_id: int, failed: set[int]) -> bool:
        """Removes the person from one payload and from what failed of it; False where somebody holds it."""
        batches = ImportBatch.objects.select_related("job").defer("job__metadata").filter(pk=batch_id)
        batch = batches.first()
        if batch is None or not (failed or self._places_in(batch, self.search.unpack(batch), failed)):
            return True
        try:
            with transaction.atomic():
                held = batches.select_for_update(no_key=True, skip_locked=True, of=("self",)).first()
                if held is None:
                    return not batches.exists()
                self._rewrite(held, failed)
        except KeyGoneError:
            return False
        return True

    def _places_in(self, batch: ImportBatch, raws: list[bytes] | None, failed: set[int]) -> list[int]:
        return [] if raws is None else sorted(self.search.places_in(batch, raws, failed))

    def _rewrite(self, batch: ImportBatch, failed: set[int]) -> None:
        """With the batch's row locked: retries and later imports lock it before they touch what failed of it."""
        raws = self.search.unpack(batch)
        places = self._places_in(batch, raws, failed)
        if raws is not None and places:
            for place in places:
                raws[place] = b""
            sealer = keyring(batch.job.customer_id).sealer("imports_importbatch", "payload")
            hold(batch.job.customer_id, [sealer.data_key_id])
            batch.payload = sealer.seal(batching.pack(raws), payload_row(batch.job.uuid, batch.sequence))
            # What is still to be worked on passes over these, and so does the import that a dry run is committed as.
            batch.superseded = sorted({*batch.superseded, *places})
            batch.save(update_fields=["payload", "superseded"])
            if len(places) == batch.job.total:
                _forget_digests(batch.job)
        emptied = _empty_failed(batch.job, failed.union(batch.first_index + place for place in places))
        self.counts.update({"sent": len(places), "failed": emptied})

    def _delete_records(self, *, up_to: int) -> None:
        """And what they held before, until nothing is left: in between an undo may have put something back."""
        while self._delete_from(Record, "record", up_to) + self._delete_from(RecordVersion, "earlier", up_to):
            pass

    def _delete_from(self, model: type[Record | RecordVersion], place: Place, newest: int) -> int:
        statement, deleted = _DELETE.format(table=model._meta.db_table), 0
        for number, fingerprint in [(row.pk, bytes(row.fingerprint)) for row, _ in self.search.rows(model)]:
            with connection.cursor() as cursor:
                cursor.execute(statement, {"id": number, "fingerprint": fingerprint, "newest": newest})
                deleted += cursor.rowcount
        self.counts[place] += deleted
        return deleted


def _empty_failed(job: ImportJob, indexes: set[int]) -> int:
    failures = FailedRecord.objects.filter(job=job, index__in=indexes, payload__isnull=False)
    edits = list(failures.filter(edit_job__isnull=False).values_list("edit_job", flat=True))
    count = failures.update(
        payload=None,
        problems=None,
        edited=None,
        key=None,
        next_attempt_at=None,
        updated_at=Now(),
        state=Case(
            When(state__in=FailedRecord.UNRESOLVED, then=Value(FailedRecord.State.ERASED.value)), default=F("state")
        ),
    )
    # The digest of an edit is one of this very record.
    ImportJob.objects.filter(pk__in=edits).update(body_digest=b"")
    return count


def _forget_digests(job: ImportJob) -> None:
    """Of a body that held nobody else: whoever guesses the record could prove it by them."""
    ImportJob.objects.filter(pk=job.pk).update(body_digest=b"")
    ImportPart.objects.filter(job=job).update(body_digest=b"")


# Unless a job that was accepted later has brought it anew. The number of an edit, and of an import that a dry run was
# committed as, says nothing of that: their content was there before.
_DELETE: Final = """
    DELETE FROM {table} stored WHERE id = %(id)s AND fingerprint = %(fingerprint)s AND (
        origin_job_id <= %(newest)s
        OR EXISTS (
            SELECT FROM imports_importjob job
            WHERE job.id = stored.origin_job_id AND (job.kind = 'edit' OR job.dry_run_id <= %(newest)s)
        )
    )
"""
