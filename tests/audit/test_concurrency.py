"""Real threads with real connections: one chain, no gap, no deadlock."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from audit.context import Actor, acting_as
from audit.models import AuditEvent
from audit.trail import audited, record, verify_chain

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS = 8


def in_threads(work: Callable[[int], None]) -> None:
    """Runs work(0) to work(7) at once; the first exception is raised here."""
    together = Barrier(WRITERS)

    def run(number: int) -> None:
        try:
            together.wait(timeout=10)
            work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(WRITERS) as threads:
        for future in [threads.submit(run, number) for number in range(WRITERS)]:
            future.result(timeout=60)


def test_eight_writers_make_one_chain_without_gaps() -> None:
    def write(number: int) -> None:
        with acting_as(Actor("system", f"writer-{number}")):
            for turn in range(25):
                with audited():
                    for event in range(turn % 3 + 1):
                        record(
                            "import.accepted",
                            target=f"import:{number}",
                            detail={"turn": turn, "event": event},
                        )

    in_threads(write)
    found = verify_chain()
    assert (found.count, found.first_bad) == (WRITERS * 49, None)
    for number in range(WRITERS):
        own = AuditEvent.objects.filter(actor_id=f"writer-{number}").order_by("sequence")
        turns = [(event.detail["turn"], event.detail["event"]) for event in own]
        assert turns == sorted(turns)


def test_changes_of_the_same_rows_do_not_deadlock_over_the_head() -> None:
    """Each transaction records first and locks its row after. Would record() lock the head, this
    deadlocks.
    """
    row = ContentType.objects.first()
    assert row is not None

    def write(number: int) -> None:
        with acting_as(Actor("system", f"writer-{number}")):
            for turn in range(15):
                with audited():
                    if (number + turn) % 2:
                        record("customer.changed", target="customer:acme")
                    ContentType.objects.select_for_update(no_key=True).get(pk=row.pk)
                    record("customer.changed", target="customer:acme")

    in_threads(write)
    assert verify_chain().first_bad is None


def test_a_transaction_that_fails_leaves_no_gap() -> None:
    def write(number: int) -> None:
        with acting_as(Actor("system", f"writer-{number}")):
            for turn in range(10):
                try:
                    with audited():
                        record("import.accepted", target=f"import:{turn}")
                        if turn % 2:
                            raise ZeroDivisionError
                except ZeroDivisionError:
                    continue

    in_threads(write)
    assert (verify_chain().count, verify_chain().first_bad) == (WRITERS * 5, None)


def test_verifying_while_others_write_sees_no_break() -> None:
    def work(number: int) -> None:
        if number == 0:
            for _ in range(10):
                assert verify_chain().first_bad is None
            return
        with acting_as(Actor("system", f"writer-{number}")):
            for turn in range(15):
                with audited():
                    record("import.accepted", target=f"import:{turn}")

    in_threads(work)
    assert verify_chain().count == (WRITERS - 1) * 15
