"""Rules: imports are submitted, in one piece and in parts, worked on, killed and cancelled."""

import hashlib
import json
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from audit.context import acting_as
from customers import keyring as rings
from customers.cipher import data_key_id_of
from customers.keyring import KeyGoneError, keyring
from customers.models import DataKey
from imports import closing, ending, intake, opening, parts, processing, validating
from imports.models import ImportBatch, ImportJob
from tests.imports.life.horses import STATUS, Horse
from tests.imports.life.items import bodies
from tests.imports.life.jobs import DRY_RUN, EDIT, IMPORT, Batch, Body, Job
from tests.imports.life.ledger import MAX_RUNNING, superseded_in
from tests.imports.life.parties import Held, Party
from tests.imports.life.stage import KEY_GONE, WORKER, Stage
from tests.imports.pipeline import METADATA, calling, submission

# Where a work-horse is killed, by what is left of its turn. `publishing` is passed twice, see _note_death().
BEFORE_THE_NOTE = ("claimed",)
BEFORE_THE_COMMIT = ("attempt_noted", "reading_record", "copying", "upserted", "counted")
AFTER_THE_COMMIT = ("committed", "attempt_ended")
POINTS = (*BEFORE_THE_NOTE, *BEFORE_THE_COMMIT, *AFTER_THE_COMMIT, "publishing", "splitting")
# Where it may stand still without a lock that anybody waits for.
STANDS = ("attempt_noted", "reading_record")
MAX_HELD = 2
KEYS = ("", "", "", "k1", "k2")


class Importing(Stage):
    """Whoever pushes, and the workers."""

    def push(self, party: Party, body: Body, *, kind: str = IMPORT, key: str = "") -> Job | None:
        def do() -> ImportJob:
            with calling(party.caller):
                return intake.accept(submission(party.caller, _sent(body), idempotency_key=key), kind=kind)

        agreed = self.agree(lambda: party.ledger.accept(body, kind=kind, key=key), do)
        if agreed is None:
            return None
        job, row = agreed
        assert row.pk == party.job(job).pk
        return job

    def someone(self, data: st.DataObject) -> Party:
        return self.chosen(data, [self.owner, self.owner, self.owner, self.other], "whose")

    @rule(data=st.data(), body=bodies, key=st.sampled_from(KEYS), kind=st.sampled_from([IMPORT] * 5 + [DRY_RUN]))
    def submit(self, data: st.DataObject, body: Body, key: str, kind: str) -> None:
        self.push(self.someone(data), body, kind=kind, key=key)

    @initialize(older=bodies, others=bodies, count=st.integers(1, 12))
    def two_at_once(self, older: Body, others: Body, count: int) -> None:
        """Every life begins with two imports of much the same records."""
        self.push_two(older, others, count)

    @precondition(lambda self: self.owner.ledger.running() <= MAX_RUNNING - 2)
    @rule(data=st.data(), older=bodies, others=bodies, count=st.integers(1, 12), is_finished=st.booleans())
    def overtake(self, data: st.DataObject, older: Body, others: Body, count: int, is_finished: bool) -> None:
        """Some batches of the newer import are done before the older one's."""
        first, second = self.push_two(older, others, count)
        for batch in list(second.batches):
            if data.draw(st.booleans(), "overtakes"):
                self.process_next(batch)
        for batch in [*first.batches, *second.batches] if is_finished else []:
            if batch.is_ready:
                self.process_next(batch)

    def push_two(self, older: Body, others: Body, count: int) -> tuple[Job, Job]:
        """The newer one has `count` records: the older one's with other contents, then others."""
        changed = tuple(replace(item, value=1 - item.value) for item in older)
        first, second = self.push(self.owner, older), self.push(self.owner, (changed + others)[:count])
        assert first
        assert second
        return first, second

    @precondition(lambda self: self.owner.ledger.keys)
    @rule(data=st.data())
    def push_again(self, data: st.DataObject) -> None:
        """The same key with the same body, also when that job is long done."""
        ledger = self.owner.ledger
        kind, key = self.chosen(data, sorted(ledger.keys), "key")
        _, body = ledger.keys[kind, key]
        if isinstance(body, tuple):
            self.push(self.owner, body, kind=kind, key=key)

    @precondition(lambda self: self.owner.asleep and self.owner.ledger.running() < MAX_RUNNING)
    @rule(data=st.data(), body=bodies)
    def push_from_a_process_that_slept(self, data: st.DataObject, body: Body) -> None:
        """Its key ring is older than a rotation. A destroyed key is refused, then it does."""
        asleep = self.chosen(data, self.owner.asleep, "ring")
        key = DataKey.objects.get(pk=asleep.sealer("imports_importbatch", "payload").data_key_id)
        rings._cache[self.owner.id] = (float("inf"), asleep)
        try:
            if key.state == DataKey.State.DESTROYED:
                with calling(self.owner.caller):
                    try:
                        intake.accept(submission(self.owner.caller, _sent(body)))
                    except KeyGoneError:
                        return
                raise AssertionError("an import was accepted under a key that is destroyed")
            self.push(self.owner, body)
        finally:
            rings.forget(self.owner.id)

    @rule(data=st.data(), body=bodies)
    def validate(self, data: st.DataObject, body: Body) -> None:
        party = self.someone(data)
        with calling(party.caller):
            verdict = validating.validate(submission(party.caller, _sent(body)))
        assert isinstance(verdict, validating.Verdict)
        doubled = superseded_in(body)
        left = [item for index, item in enumerate(body) if index not in doubled]
        failed = [item for item in left if item.refusal(is_limit_low=self.is_limit_low)]
        would = [party.ledger.would(item) for item in left if item not in failed]
        assert verdict.body["failed"] == len(failed)
        assert verdict.body["superseded"] == len(doubled)
        assert [verdict.body["would"][name] for name in ("create", "update", "unchanged")] == [
            would.count(letter) for letter in "cu="
        ]

    # Imports in parts

    def in_parts(self) -> list[Job]:
        return [job for job in self.owner.ledger.jobs if job.is_open or job.parts]

    @rule(key=st.sampled_from(KEYS), announced=st.sampled_from([None, None, 2, 3]))
    def open(self, key: str, announced: int | None) -> None:
        if sum(job.is_open for job in self.owner.ledger.jobs) >= 3:
            return
        document: dict[str, Any] = {"metadata": METADATA}
        if announced is not None:
            document["expectedRecords"] = announced

        def do() -> ImportJob:
            with calling(self.owner.caller):
                sent = submission(self.owner.caller, json.dumps(document).encode(), idempotency_key=key)
                return opening.open_job(sent)

        agreed = self.agree(lambda: self.owner.ledger.open(announced, key=key), do)
        assert agreed is None or agreed[1].pk == self.owner.job(agreed[0]).pk

    @precondition(lambda self: self.in_parts())
    @rule(data=st.data(), number=st.integers(1, 2), body=bodies)
    def send_a_part(self, data: st.DataObject, number: int, body: Body) -> None:
        job = self.chosen(data, self.in_parts(), "job")
        if number in job.parts and data.draw(st.booleans(), "the same again"):
            body = job.parts[number]
        document = json.dumps({"records": []}).encode().replace(b"[]", b"[" + b",".join(_sent(body)) + b"]")

        def do() -> None:
            with calling(self.owner.caller):
                sent = submission(self.owner.caller, document, body_digest=hashlib.sha256(document).digest())
                parts.receive(sent, job=self.owner.job(job), number=number, wire_bytes=len(document))

        self.agree(lambda: self.owner.ledger.receive(job, number, body), do)

    @precondition(lambda self: self.in_parts())
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        job = self.chosen(data, self.in_parts(), "job")

        def do() -> None:
            with calling(self.owner.caller):
                closing.close(self.owner.job(job))

        self.agree(lambda: self.owner.ledger.close(job), do)

    # Workers

    def ready(self) -> list[tuple[Party, Batch]]:
        return [(party, batch) for party in self.living() for batch in party.ledger.ready()]

    @precondition(lambda self: self.ready())
    @rule(data=st.data(), turns=st.integers(1, 4))
    def work(self, data: st.DataObject, turns: int) -> None:
        """On any batches that wait: whatever order the workers might come to."""
        for _ in range(min(turns, len(self.ready()))):
            _, batch = self.chosen(data, self.ready(), "batch")
            assert self.process_next(batch)

    @rule(is_rung_for=st.booleans())
    def work_on_the_next(self, is_rung_for: bool) -> None:
        """A worker takes a message, or looks without one; the batch is the house's own choice."""
        is_any = bool(self.ready())
        if is_rung_for:
            self.answer_the_bell()
        else:
            assert self.process_next() == is_any

    @precondition(lambda self: self.ready())
    @rule(data=st.data(), point=st.sampled_from(POINTS), times=st.integers(1, 2))
    def work_and_die(self, data: st.DataObject, point: str, times: int) -> None:
        party, batch = self.chosen(data, self.ready(), "batch")
        for _ in range(times):
            if batch.is_ready and batch in batch.job.batches:
                self._die(party, batch, point)

    @precondition(lambda self: self.ready())
    @rule(data=st.data(), point=st.sampled_from(BEFORE_THE_COMMIT))
    def poison(self, data: st.DataObject, point: str) -> None:
        """Nobody survives the batch, nor one of its records; what is left of it stands alone."""
        party, batch = self.chosen(data, self.ready(), "batch")
        others = party.ledger.batches()
        self._die_of(party, batch, point)
        pieces = [piece for piece in party.ledger.batches() if piece not in others]
        if pieces:
            self._die_of(party, self.chosen(data, pieces, "piece"), point)

    def _die_of(self, party: Party, batch: Batch, point: str) -> None:
        while batch.is_ready and not batch.is_to_be_taken_apart:
            self._die(party, batch, point)
        if batch.is_ready:
            self.process_next(batch)

    def _die(self, party: Party, batch: Batch, point: str) -> None:
        with self.holding([other for _, other in self.ready() if other is not batch]):
            status = Horse(_turn, point=point, is_to_stop=False).end()
        self._note_death(party, batch, point, was_killed=status == STATUS)

    def _note_death(self, party: Party, batch: Batch, point: str, *, was_killed: bool) -> None:
        """What is left of it where it died there."""
        is_apart = batch.is_to_be_taken_apart
        if not was_killed or point == "attempt_ended" or (point == "publishing" and is_apart):
            self.settle(party, batch, is_limit_low=self.is_limit_low)
        elif point in ("claimed", "splitting"):
            pass
        elif point == "committed" or (point == "publishing" and batch.job.is_begun):
            self.settle(party, batch, is_limit_low=self.is_limit_low, end="")
        else:
            party.ledger.begin(batch, "")

    @precondition(lambda self: self.ready() and len(self.held) < MAX_HELD)
    @rule(data=st.data(), point=st.sampled_from(STANDS))
    def stand_still(self, data: st.DataObject, point: str) -> None:
        """A worker that is suspended in the middle of a batch; others go on meanwhile."""
        party, batch = self.chosen(data, self.ready(), "batch")
        is_fresh = batch.is_to_be_taken_apart or batch.ends.count(KEY_GONE) > 1
        asleep = None if is_fresh else self.chosen(data, [None, *party.asleep], "ring")
        self.begin(party, batch, point, asleep=asleep)

    def begin(self, party: Party, batch: Batch, point: str, *, asleep: rings.Keyring | None = None) -> Held | None:
        if asleep is not None:
            rings._cache[party.id] = (float("inf"), asleep)
        try:
            record_key = self._record_key(party, batch, point)
            with self.holding([other for _, other in self.ready() if other is not batch]):
                horse = Horse(_turn, point=point, is_to_stop=True)
                stands = horse.stands()
        finally:
            rings.forget(party.id)
        if not stands:
            # It was taken apart, or holds no record to be read.
            assert horse.end() == 0
            self.settle_under(record_key, party, batch, is_limit_low=self.is_limit_low)
            return None
        held = Held(horse, party, batch, self.is_limit_low, record_key)
        self.held.append(held)
        party.ledger.begin(batch, "")
        batch.is_held = True
        return held

    @staticmethod
    def _record_key(party: Party, batch: Batch, point: str) -> int | None:
        """A ring that does not know the key of the batch is read anew, before anything is sealed."""
        payload = ImportBatch.objects.get(job=party.job_id(batch.job), sequence=batch.sequence).payload
        ring = keyring(party.id)
        if data_key_id_of(bytes(payload or b"")) not in ring._entries:
            if point == "attempt_noted":
                return None
            ring = rings.fresh(party.id)
        return ring.sealer("imports_record", "payload").data_key_id

    @precondition(lambda self: self.held)
    @rule(data=st.data(), is_killed=st.booleans())
    def go_on(self, data: st.DataObject, is_killed: bool) -> None:
        held = self.chosen(data, self.held, "held")
        if is_killed:
            self.kill(held)
        else:
            self.let_go(held)

    # Cancelling

    def cancel(self, party: Party, job: Job) -> None:
        def do() -> None:
            with calling(party.caller):
                ending.cancel(party.job(job).pk)

        self.agree(lambda: party.ledger.cancel(job), do)

    def cancellable(self) -> list[tuple[Party, Job]]:
        return [(party, job) for party in self.living() for job in party.ledger.jobs if job.kind != EDIT]

    @precondition(lambda self: self.cancellable())
    @rule(data=st.data())
    def cancel_one(self, data: st.DataObject) -> None:
        self.cancel(*self.chosen(data, self.cancellable(), "job"))

    @precondition(lambda self: self.ready() and len(self.held) < MAX_HELD)
    @rule(data=st.data(), is_killed=st.booleans())
    def cancel_under_a_worker(self, data: st.DataObject, is_killed: bool) -> None:
        """The batch at hand is finished, or its worker dies and nobody takes it up again."""
        party, batch = self.chosen(data, self.ready(), "batch")
        held = self.begin(party, batch, "attempt_noted")
        if held is None:
            return
        self.cancel(party, batch.job)
        if is_killed:
            self.kill(held)
        else:
            self.let_go(held)
        self.process_next()


def _turn() -> None:
    with acting_as(WORKER):
        processing.process_next(worker="worker-1")


def _sent(body: Body) -> list[bytes]:
    return [item.raw for item in body]
