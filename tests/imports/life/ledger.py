"""What a customer's imports must come to. Told what was done, it says what must be seen: plain Python, no database."""

from collections.abc import Iterable, Sequence
from typing import Final

from tests.imports.life.items import Item, type_of
from tests.imports.life.jobs import (
    DONE,
    DRY_RUN,
    EDIT,
    IMPORT,
    LATER,
    NO,
    TRIES,
    Batch,
    Body,
    Failure,
    Job,
    Origin,
    Stored,
)

BATCH_RECORDS: Final = 2
MAX_RUNNING: Final = 5
NUMBERS_A_PART: Final = 100_000

CREATED, UPDATED, UNCHANGED, SUPERSEDED, FAILED = "c", "u", "=", "s", "f"


class Refused(Exception):
    """The product must refuse it, with this code and without a trace."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Ledger:
    """One customer. Every method is something that was done; Refused where the product must refuse it."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.table: dict[str, Stored] = {}
        self.failures: list[Failure] = []
        self.keys: dict[tuple[str, str], tuple[Job, object]] = {}
        self.is_erased = False

    def batches(self) -> list[Batch]:
        return [batch for job in self.jobs for batch in job.batches]

    def ready(self) -> list[Batch]:
        return [batch for batch in self.batches() if batch.is_ready]

    def running(self) -> int:
        return sum(job.kind == IMPORT and not job.is_open and not job.is_finished for job in self.jobs)

    # Imports

    def accept(self, body: Body, *, kind: str = IMPORT, key: str = "") -> Job:
        repeated = self._repeated(kind, key, body)
        if repeated is not None:
            return repeated
        if kind == IMPORT:
            self._refuse_beyond_limit()
        job = self._add(kind, key, body)
        job.batches = _split(job, body, first_sequence=0)
        return job

    def open(self, announced: int | None, *, key: str = "") -> Job:
        repeated = self._repeated(IMPORT, key, announced)
        if repeated is not None:
            return repeated
        job = self._add(IMPORT, key, announced)
        job.is_open, job.reason, job.announced = True, "open", announced
        return job

    def receive(self, job: Job, number: int, body: Body) -> None:
        if not job.is_open:
            raise Refused("wrong_state")
        if number in job.parts:
            if job.parts[number] != body:
                raise Refused("part_conflict")
            return
        job.parts[number] = body
        job.batches += _split(job, body, first_sequence=(number - 1) * NUMBERS_A_PART)
        job.batches.sort(key=lambda batch: batch.sequence)

    def close(self, job: Job) -> None:
        if not job.is_open and (job.is_cancelled or not job.parts):
            raise Refused("wrong_state")
        is_short = job.is_open and job.announced not in (None, sum(map(len, job.parts.values())))
        if is_short or set(job.parts) != set(range(1, max(job.parts, default=1) + 1)):
            raise Refused("import_incomplete")
        if job.is_open:
            self._refuse_beyond_limit()
            job.arrange()
            job.is_open, job.reason = False, ""

    def cancel(self, job: Job) -> None:
        if job.is_finished:
            raise Refused("wrong_state")
        if job.is_open:
            self._end_open(job, "cancelled")
            return
        if not job.is_cancelled:
            job.is_cancelled, job.reason = True, "cancelled"
        job.drop()

    def sweep(self) -> None:
        """What a worker that died left of cancelled jobs is dropped, and what was overtaken is resolved."""
        for job in self.jobs:
            if job.is_cancelled:
                job.drop()
        for failure in self.failures:
            stored = self.table.get(failure.key or "")
            if stored is None or not failure.is_unresolved or failure.item.type != type_of(failure.key or ""):
                continue
            if stored.origin[0] > failure.origin_number:
                failure.resolve(SUPERSEDED, by=stored.origin[0])

    def erase(self) -> None:
        self.is_erased = True
        for job in self.jobs:
            if job.is_open:
                self._end_open(job, "customer_erased")
            elif not job.is_finished:
                job.is_cancelled, job.reason = True, job.reason or "customer_erased"
                job.drop()
        self.table, self.failures, self.keys = {}, [], {}

    # Batches

    def begin(self, batch: Batch, end: str) -> None:
        """An attempt that ended so; "" where it was killed."""
        batch.job.is_begun = True
        batch.ends.append(end)

    def process(self, batch: Batch, *, is_limit_low: bool) -> None:
        """Its transaction committed."""
        job = batch.job
        batch.state, batch.outcomes = DONE, [""] * len(batch.items)
        incoming: dict[str, int] = {}
        for offset, item in enumerate(batch.items):
            code = item.refusal(is_limit_low=is_limit_low)
            if offset in batch.superseded:
                batch.outcomes[offset] = SUPERSEDED
            elif code:
                self._fail(batch, offset, code)
            else:
                incoming[item.name] = offset
        older = [
            failure
            for failure in self.failures
            if failure.is_unresolved and failure.key in incoming and failure.origin_number < job.number
        ]
        for name, offset in incoming.items():
            item, origin = batch.items[offset], (job.number, batch.first + offset)
            batch.outcomes[offset] = self.would(item) if job.kind == DRY_RUN else self._store(name, item, origin)
        if job.kind == IMPORT:
            for failure in older:
                failure.resolve(SUPERSEDED, by=job.number)

    def take_apart(self, batch: Batch) -> None:
        """Three processes died over it."""
        job = batch.job
        if len(batch.items) == 1:
            batch.state, batch.outcomes = DONE, [SUPERSEDED]
            if not batch.superseded:
                self._fail(batch, 0, "worker_stopped")
            return
        last = max(other.sequence for other in job.batches)
        pieces = [
            Batch(
                job,
                sequence=last + offset if offset else batch.sequence,
                first=batch.first + offset,
                items=(item,),
                superseded=(0,) if offset in batch.superseded else (),
            )
            for offset, item in enumerate(batch.items)
        ]
        job.batches = sorted(
            [*(other for other in job.batches if other is not batch), *pieces], key=lambda piece: piece.first
        )

    def would(self, item: Item) -> str:
        """What an import of it would be called now."""
        stored = self.table.get(item.name)
        return CREATED if stored is None else UNCHANGED if stored.item == item else UPDATED

    # Failed records

    def retry(self, failure: Failure) -> None:
        if failure.state not in ("open", "discarded"):
            raise Refused("wrong_state")
        failure.hand_out()

    def edit(self, failure: Failure, item: Item, *, attempt: int, is_limit_low: bool) -> None:
        if item.refusal(is_limit_low=is_limit_low):
            raise Refused("invalid_body")
        if failure.state not in ("open", "discarded") or failure.attempts != attempt:
            raise Refused("attempt_passed")
        failure.edited, failure.edit_number = item, self._add(EDIT, "", None).number
        failure.hand_out()

    def discard(self, failure: Failure) -> None:
        if failure.state != "open":
            raise Refused("wrong_state")
        failure.state, failure.wait = "discarded", NO

    def try_again(self, failures: Sequence[Failure], *, is_limit_low: bool, is_killed: bool = False) -> None:
        """Taken by a worker, who noted the try, and then either died over it or committed."""
        for failure in failures:
            failure.attempts, failure.tries, failure.wait = failure.attempts + 1, failure.tries + 1, LATER
        if is_killed:
            return
        if failures[0].tries > TRIES:
            for failure in failures:
                failure.state, failure.code, failure.wait = "open", "worker_stopped", NO
            return
        incoming: dict[str, Failure] = {}
        for failure in sorted(failures, key=lambda failure: failure.index):
            code = failure.current.refusal(is_limit_low=is_limit_low)
            if code:
                failure.state, failure.code, failure.wait = "open", code, NO
                continue
            earlier = incoming.get(failure.current.name)
            if earlier is not None:
                earlier.resolve(SUPERSEDED, by=earlier.origin_number)
            incoming[failure.current.name] = failure
        for name, failure in incoming.items():
            outcome = self._store(name, failure.current, (failure.origin_number, failure.index))
            failure.resolve(outcome, by=failure.origin_number)

    def _add(self, kind: str, key: str, body: object) -> Job:
        job = Job(len(self.jobs) + 1, kind)
        self.jobs.append(job)
        if key:
            self.keys[kind, key] = job, body
        return job

    def _repeated(self, kind: str, key: str, body: object) -> Job | None:
        job, known = self.keys.get((kind, key), (None, None))
        if job is not None and known != body:
            raise Refused("idempotency_key_reused")
        return job

    def _refuse_beyond_limit(self) -> None:
        if self.running() >= MAX_RUNNING:
            raise Refused("too_many_running_imports")

    def _end_open(self, job: Job, reason: str) -> None:
        job.arrange()
        job.is_open, job.is_cancelled, job.reason = False, True, reason
        job.drop()

    def _store(self, name: str, item: Item, origin: Origin) -> str:
        """The newest origin wins, also where it changed nothing."""
        stored = self.table.get(name)
        if stored is None:
            self.table[name] = Stored(item, origin, origin)
            return CREATED
        if stored.origin > origin:
            return SUPERSEDED
        stored.origin = origin
        if stored.item == item:
            return UNCHANGED
        stored.item, stored.changed = item, origin
        return UPDATED

    def _fail(self, batch: Batch, offset: int, code: str) -> None:
        batch.outcomes[offset] = FAILED
        failure = Failure(batch, batch.first + offset, batch.items[offset], code)
        if batch.job.kind == DRY_RUN:
            failure.state = "dry_run"
        elif code == "worker_stopped":
            failure.wait = LATER
        self.failures.append(failure)


def _split(job: Job, body: Body, *, first_sequence: int) -> list[Batch]:
    doubled = superseded_in(body)
    return [
        Batch(
            job,
            sequence=first_sequence + number,
            first=start,
            items=body[start : start + BATCH_RECORDS],
            superseded=tuple(index - start for index in doubled if start <= index < start + BATCH_RECORDS),
        )
        for number, start in enumerate(range(0, len(body), BATCH_RECORDS))
    ]


def superseded_in(body: Iterable[Item]) -> list[int]:
    """Indexes of records that a later one of the same body replaces, whether or not that one is any good."""
    keys = [item.key for item in body]
    return [index for index, key in enumerate(keys) if key is not None and key in keys[index + 1 :]]
