"""A house in one process: the product's stages on PostgreSQL and Valkey, beside them the ledger that predicts them.

What the product chooses by itself, which batch is next and which failure, is looked up afterwards; whether it might and
what must come of it is the ledger's word.
"""

import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from django.conf import settings
from django.db import connection
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant
from rq import Queue
from rq.serializers import JSONSerializer

from audit.context import Actor, acting_as
from audit.models import AuditEvent
from customers import keyring as rings
from customers.models import DataKey
from imports import (
    checking,
    doorbell,
    processing,
    redriving,
    retrying,
    sweeper,
    tasks,
)
from imports.key_rotation import Rotator
from imports.models import Record, Redrive
from imports.refusal import Refusal
from tests.imports.life.items import LOW_LIMIT
from tests.imports.life.jobs import EDIT, PENDING, Batch, Failure
from tests.imports.life.ledger import Refused
from tests.imports.life.parties import Held, Party, empty_the_house
from tests.imports.life.picture import predicted, seen
from tests.imports.pipeline import account_of, another_session, enrol

T = TypeVar("T")

WORKER = Actor("system", "worker-1")
HOUR = "interval '61 minutes'"
ROUNDS = 500
KEY_GONE = "KeyGoneError"


class Stage(RuleBasedStateMachine):
    """What the rules are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.fault: BaseException | None = None
        self.seconds, self.masters, self.customers = 1_700_000_000, 0, 0
        self.is_limit_low = False
        self.held: list[Held] = []
        self._overhear()
        empty_the_house()
        self.parties: list[Party] = []
        self.owner, self.other = self.enrol(), self.enrol()
        self.rotator = Rotator()

    def _overhear(self) -> None:
        """What tasks do is noted in the ledgers, and the doorbell's seconds are the machine's steps."""
        self.patch.setattr(doorbell, "time", SimpleNamespace(time=lambda: self.seconds))
        self.patch.setattr(tasks, "TURN_SECONDS", 0.0)
        for name, observed in (
            ("process_next", lambda worker: self.process_next()),
            ("release_next", self.release_next),
            ("retry_next", self.retry_next),
        ):
            self.patch.setattr(tasks, name, self._kept(observed))
        self.patch.setattr(settings, "MASTER_KEYS", settings.MASTER_KEYS)

    def _kept(self, observed: Callable[..., bool]) -> Callable[..., bool]:
        """A task lets no error out, so what is found inside of one is kept for the rule."""

        def keep(*args: Any, **kwargs: Any) -> bool:
            try:
                return observed(*args, **kwargs)
            except Exception as err:
                self.fault = err
                raise

        return keep

    def enrol(self) -> Party:
        self.customers += 1
        party = Party(enrol(f"Customer {self.customers}"))
        self.parties.append(party)
        return party

    def living(self) -> list[Party]:
        return [party for party in self.parties if not party.ledger.is_erased]

    # Steps that the rules share

    def agree(self, predict: Callable[[], T], do: Callable[[], Any]) -> tuple[T, Any] | None:
        """Both results; None where both refuse, which they must do with the same code."""
        try:
            wanted = predict()
        except Refused as refused:
            with pytest.raises(Refusal) as caught:
                do()
            assert caught.value.code == refused.code
            return None
        return wanted, do()

    def process_next(self, chosen: Batch | None = None) -> bool:
        """A worker's next batch; with `chosen` every other one is in the hands of somebody else."""
        others = [batch for party in self.living() for batch in party.ledger.ready() if batch is not chosen]
        with self.holding(others if chosen else []), acting_as(WORKER):
            did = processing.process_next(worker="worker-1")
        done = self._moved()
        assert len(done) == did, f"a worker did something: {did}, moved: {done}"
        for party, batch in done:
            assert batch.is_ready
            assert batch is chosen or chosen is None
            self.settle(party, batch, is_limit_low=self.is_limit_low)
        return did

    def settle(self, party: Party, batch: Batch, *, is_limit_low: bool, end: str = "done") -> None:
        """The turn at this batch committed."""
        if batch.is_to_be_taken_apart:
            party.ledger.take_apart(batch)
        else:
            party.ledger.begin(batch, end)
            party.ledger.process(batch, is_limit_low=is_limit_low)

    def settle_under(self, record_key: int | None, party: Party, batch: Batch, *, is_limit_low: bool) -> None:
        """The same for a worker whose key may have been destroyed meanwhile: then it can store nothing."""
        if record_key is None:
            is_gone, end = party.ledger.is_erased, "ErasedError"
        else:
            is_gone = DataKey.objects.get(pk=record_key).state == DataKey.State.DESTROYED
            is_gone, end = is_gone and batch.stores_something(is_limit_low=is_limit_low), KEY_GONE
        if is_gone:
            batch.ends.append(end)
        else:
            self.settle(party, batch, is_limit_low=is_limit_low)

    def retry_next(self) -> bool:
        with acting_as(WORKER):
            did = retrying.retry_next()
        self.note_retries(did=did, is_killed=False)
        return did

    def note_retries(self, *, did: bool, is_killed: bool) -> None:
        """Which failures were tried is seen by their attempts."""
        tried = [(party, failure) for party, failure, attempts, _ in self._failures() if attempts != failure.attempts]
        assert bool(tried) == did
        assert len({(party.id, failure.job.number) for party, failure in tried}) <= 1
        assert all(failure.is_due for _, failure in tried)
        if tried:
            ledger = tried[0][0].ledger
            ledger.try_again([failure for _, failure in tried], is_limit_low=self.is_limit_low, is_killed=is_killed)

    def release_next(self) -> bool:
        with acting_as(WORKER):
            did = redriving.release_next()
        for _, failure, _, state in self._failures():
            if state == "retrying" != failure.state:
                assert did
                assert failure.state == "open"
                failure.hand_out()
        return did

    def answer_the_bell(self) -> bool:
        """One message, as a worker takes it; False where nobody rang."""
        queue = doorbell.queue()
        taken = Queue.dequeue_any([queue], None, connection=queue.connection, serializer=JSONSerializer)
        if taken is None:
            return False
        message = taken[0]
        with acting_as(WORKER):
            message.perform()
        message.delete()
        if self.fault is not None:
            raise self.fault
        return True

    def sweep(self) -> None:
        with acting_as(Actor("system", "sweeper")):
            sweeper.sweep()
            sweeper.tidy()
        for party in self.parties:
            party.ledger.sweep()

    def let_an_hour_pass(self) -> None:
        """For failures that wait and for retired keys that rest."""
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE imports_failedrecord SET next_attempt_at = next_attempt_at - {HOUR}")
            cursor.execute(f"UPDATE customers_datakey SET emptied_at = emptied_at - {HOUR}")
        for party in self.living():
            for failure in party.ledger.failures:
                if failure.wait == "later":
                    failure.wait = "due"

    def set_limit(self, *, is_low: bool) -> None:
        self.is_limit_low = is_low
        self.patch.setattr(checking, "MAX_RECORD_BYTES", LOW_LIMIT if is_low else 1024 * 1024)

    def new_master_key(self) -> str:
        self.masters += 1
        return f"m{self.masters}:{b64encode(bytes([self.masters % 256] * 32)).decode()}"

    def chosen(self, data: st.DataObject, choices: Sequence[T], label: str) -> T:
        return data.draw(st.sampled_from(choices), label)

    @contextmanager
    def holding(self, batches: Sequence[Batch]) -> Iterator[None]:
        """Other workers have these, so that only what is left can be claimed."""
        if not batches:
            yield
            return
        places = [
            (party.job_id(batch.job), batch.sequence)
            for party in self.living()
            for batch in party.ledger.batches()
            if batch in batches
        ]
        with another_session() as session, session.transaction():
            held = session.execute(_HOLD, [list(column) for column in zip(*places, strict=True)]).fetchall()
            assert len(held) == len(places)
            yield

    def let_go(self, held: Held) -> None:
        """The work-horse goes on and comes to its end."""
        self.held.remove(held)
        held.batch.is_held = False
        held.batch.ends.pop()
        assert held.horse.go_on() == 0
        self.settle_under(held.record_key, held.party, held.batch, is_limit_low=held.is_limit_low)

    def kill(self, held: Held) -> None:
        self.held.remove(held)
        held.batch.is_held = False
        held.horse.kill()

    # What must hold after every step

    @invariant()
    def as_predicted(self) -> None:
        """Of the owner at every step; whoever does less is looked at now and then, and at the end."""
        self.seconds += 1
        for party in self.living():
            if party is self.owner or self.seconds % 4 == 0:
                _compare(party)

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.come_to_the_end()
        finally:
            for held in self.held:
                held.horse.kill()
            self.patch.undo()
            rings.forget()

    def come_to_the_end(self) -> None:
        """Without a hand on it: sweepers ring, workers answer, and everything is done and accounted for."""
        for held in list(self.held):
            self.let_go(held)
        self.set_limit(is_low=False)
        for _ in range(ROUNDS):
            self.seconds += 1
            self.let_an_hour_pass()
            self.sweep()
            while self.answer_the_bell():
                pass
            with acting_as(Actor("system", "sweeper")):
                self.rotator.work(seconds=1)
            if not self._is_unfinished():
                break
        assert not self._is_unfinished(), "the house does not come to rest"
        for party in self.parties:
            _compare(party)
            self._account(party)

    def _moved(self) -> list[tuple[Party, Batch]]:
        """Batches that the ledger has pending and the house has not, or not in one piece."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT job_id, sequence, record_count FROM imports_importbatch WHERE state = 'pending'")
            pending = set(cursor.fetchall())
        return [
            (party, batch)
            for party in self.living()
            for batch in party.ledger.batches()
            if batch.state == PENDING and (party.job_id(batch.job), batch.sequence, len(batch.items)) not in pending
        ]

    def _failures(self) -> list[tuple[Party, Failure, int, str]]:
        """Each with its attempts and state as they lie in the table."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT job_id, index, attempts, state FROM imports_failedrecord")
            rows = {(job, index): (attempts, state) for job, index, attempts, state in cursor.fetchall()}
        return [
            (party, failure, *rows[party.job_id(failure.job), failure.index])
            for party in self.living()
            for failure in party.ledger.failures
        ]

    def _is_unfinished(self) -> bool:
        return (
            any(batch.state == PENDING and not batch.job.is_open for p in self.living() for batch in p.ledger.batches())
            or any(failure.wait != "no" for party in self.living() for failure in party.ledger.failures)
            or Redrive.objects.filter(state="running").exists()
            or DataKey.objects.retired().exists()
        )

    def _account(self, party: Party) -> None:
        for job in party.ledger.jobs:
            row = party.job(job)
            if not (job.is_open or job.kind == EDIT):
                if not party.ledger.is_erased:
                    account_of(row)
                said = AuditEvent.objects.filter(target=f"import:{row.uuid}").values_list("action", flat=True)
                ends = [action for action in said if action in _ENDS]
                assert len(ends) == 1, said
        if not party.ledger.is_erased:
            keys = set(Record.objects.filter(customer_id=party.id).values_list("data_key_id", flat=True))
            assert keys <= set(DataKey.objects.usable().values_list("pk", flat=True))


_HOLD = """
    SELECT batch.id FROM imports_importbatch batch
    JOIN unnest(%s::int8[], %s::int4[]) AS held(job_id, sequence) USING (job_id, sequence)
    FOR NO KEY UPDATE OF batch
"""
_ENDS = ("import.completed", "import.failed", "dry_run.completed", "dry_run.failed")


def _compare(party: Party) -> None:
    picture = seen(party.caller.customer)
    faults = picture.faults() + picture.against(predicted(party.ledger))
    assert not faults, "\n".join(faults)
