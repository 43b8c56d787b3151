"""Rules: what the house does by itself and its operators do: sweep, flush, rotate, re-wrap, erase."""

from django.conf import settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from audit.clock import database_now
from customers import rewrapping, rotation
from customers.keyring import fresh
from customers.models import DataKey
from imports import doorbell, erasure, key_rotation
from imports.key_rotation import Rotator
from tests.imports.life.parties import Party
from tests.imports.life.stage import Stage
from tests.imports.pipeline import acting_as_command

MAX_RETIRED = 4


class Keeping(Stage):
    """Sweepers and operators."""

    @rule(what=st.sampled_from(["sweep", "sweep", "flush", "hour", "limit"]))
    def meanwhile(self, what: str) -> None:
        """A sweep, a loss of all that Valkey holds, an hour, or another limit of a record's size."""
        if what == "sweep":
            self.sweep()
        elif what == "flush":
            doorbell.queue().connection.flushall()
        elif what == "hour":
            self.let_an_hour_pass()
        else:
            self.set_limit(is_low=not self.is_limit_low)

    def retired(self, party: Party) -> int:
        return DataKey.objects.retired().filter(customer_id=party.id).count()

    def rotate(self, party: Party) -> None:
        """New keys; some process goes on with the ring that it has."""
        party.asleep = [*party.asleep[-1:], fresh(party.id)]
        with acting_as_command():
            assert rotation.begin(party.caller.customer, now=database_now())

    def turn(self, *, chunks: int) -> None:
        """A sweeper re-encrypts so many chunks; with a retired key that has rested, it is destroyed."""
        with acting_as_command():
            for _ in range(chunks):
                self.rotator.work(seconds=0)

    def pass_over(self) -> None:
        """One whole pass for each retired key."""
        with acting_as_command():
            for data_key in list(DataKey.objects.retired()):
                list(key_rotation.settle(data_key))

    @rule(data=st.data(), chunks=st.integers(0, 4), is_killed=st.booleans())
    def rotate_some(self, data: st.DataObject, chunks: int, is_killed: bool) -> None:
        """New keys, or some of the work that follows from those there are."""
        party = self.chosen(data, self.living(), "whose")
        if not chunks and self.retired(party) < MAX_RETIRED:
            self.rotate(party)
        self.turn(chunks=chunks)
        if is_killed:
            self.rotator = Rotator()

    @rule(data=st.data(), is_begun=st.booleans())
    def rotate_to_the_end(self, data: st.DataObject, is_begun: bool) -> None:
        """As far as it comes: what is in somebody's hands stays under its key, which therefore stays."""
        if is_begun or not self.retired(self.owner):
            self.rotate(self.owner)
        self.pass_over()
        self.let_an_hour_pass()
        self.pass_over()
        if not self.held:
            assert not self.retired(self.owner)

    @precondition(lambda self: not self.held)
    @rule()
    def rewrap(self) -> None:
        """A new master key takes over, and the old one is taken away."""
        new = self.new_master_key()
        self.patch.setattr(settings, "MASTER_KEYS", f"{new},{settings.MASTER_KEYS}")
        with acting_as_command():
            assert rewrapping.rewrap() >= DataKey.objects.usable().count()
        self.patch.setattr(settings, "MASTER_KEYS", new)

    @precondition(lambda self: len(self.other.ledger.jobs) > 1 and len(self.parties) < 4)
    @rule()
    def erase_the_other(self) -> None:
        """Nobody else notices; another customer takes its place."""
        with acting_as_command():
            assert erasure.erase(self.other.caller.customer, now=database_now())
            while erasure.clear_away(database_now()):
                pass
        self.other.ledger.erase()
        self.other = self.enrol()
