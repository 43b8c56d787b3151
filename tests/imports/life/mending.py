"""Rules: failed records are tried again by themselves and by people, edited, discarded, redriven."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from audit.context import acting_as
from imports import mending, redriving, retrying
from imports.models import FailedRecord
from tests.imports.life.horses import STATUS, Horse
from tests.imports.life.items import Item, good_items
from tests.imports.life.jobs import Failure
from tests.imports.life.parties import Party
from tests.imports.life.stage import WORKER, Stage
from tests.imports.pipeline import calling


class Mending(Stage):
    """Callers and support staff, and the workers that do as they asked."""

    def failed(self, *states: str) -> list[tuple[Party, Failure]]:
        return [
            (party, failure)
            for party in self.living()
            for failure in party.ledger.failures
            if not states or failure.state in states
        ]

    def row(self, party: Party, failure: Failure) -> FailedRecord:
        return FailedRecord.objects.get(job=party.job(failure.job), index=failure.index)

    @precondition(lambda self: self.failed("open"))
    @rule(data=st.data(), is_handed_out=st.booleans())
    def retry_all(self, data: st.DataObject, is_handed_out: bool) -> None:
        party, failure = self.chosen(data, self.failed("open"), "of the job of")
        with calling(party.caller):
            redriving.retry_job(party.job(failure.job))
        if is_handed_out:
            self.release_next()

    @precondition(lambda self: self.failed())
    @rule(data=st.data(), item=good_items, is_late=st.sampled_from([False, False, False, True]))
    def edit(self, data: st.DataObject, item: Item, is_late: bool) -> None:
        party, failure = self.chosen(data, self.failed(), "failure")
        attempt = failure.attempts - is_late

        def do() -> None:
            with calling(party.caller):
                mending.edit(self.row(party, failure), item.raw, attempt=attempt)

        self.agree(lambda: party.ledger.edit(failure, item, attempt=attempt, is_limit_low=self.is_limit_low), do)

    @precondition(lambda self: self.failed())
    @rule(data=st.data(), is_given_up=st.booleans())
    def retry_or_discard(self, data: st.DataObject, is_given_up: bool) -> None:
        party, failure = self.chosen(data, self.failed(), "failure")

        def do() -> None:
            with calling(party.caller):
                row = self.row(party, failure)
                if is_given_up:
                    mending.discard(row, reason="obsolete")
                else:
                    mending.retry(row)

        ledger = party.ledger
        self.agree(lambda: ledger.discard(failure) if is_given_up else ledger.retry(failure), do)

    def due(self) -> list[Failure]:
        return [failure for _, failure in self.failed() if failure.is_due]

    @rule(turns=st.integers(1, 3))
    def try_again(self, turns: int) -> None:
        for _ in range(turns):
            self.release_next()
            is_any = bool(self.due())
            assert self.retry_next() == is_any

    @precondition(lambda self: self.due())
    @rule(point=st.sampled_from(["reading_record", "copying", "upserted"]))
    def try_again_and_die(self, point: str) -> None:
        """The try was noted; nothing else of it is left."""
        horse = Horse(_turn, point=point, is_to_stop=False)
        self.note_retries(did=True, is_killed=horse.end() == STATUS)


def _turn() -> None:
    with acting_as(WORKER):
        retrying.retry_next()
