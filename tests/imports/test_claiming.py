"""Which batch is next. A claim is a row lock, so each claim here stands in a transaction of its own."""

import pytest
from django.db import transaction

from imports import attempts
from imports.claiming import claim
from imports.models import BatchAttempt, ImportBatch, ImportJob
from tests.imports.pipeline import Caller, account_of, enrol, in_threads, push, records, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("small_batches")]


def served() -> list[tuple[str, int]]:
    """(customer's name, batch's sequence) in the order in which work on them began."""
    batches = ImportBatch.objects.select_related("job__customer").in_bulk()
    begun = [batches[number] for number in BatchAttempt.objects.order_by("pk").values_list("batch_id", flat=True)]
    return [(batch.job.customer.name, batch.sequence) for batch in begun]


def test_a_small_import_does_not_wait_for_the_rest_of_a_big_one(owner: Caller, stranger: Caller) -> None:
    push(owner, records(100))
    work(batches=2)
    small = push(stranger, records(1))
    work(batches=1)
    assert account_of(small).status == "completed"


def test_customers_take_turns(owner: Caller, stranger: Caller) -> None:
    third = enrol("Third")
    for caller in (owner, stranger, third):
        push(caller, records(30))
    work()
    names = [name for name, _ in served()]
    assert [set(names[at : at + 3]) for at in (0, 3, 6)] == [{"Owner", "Stranger", "Third"}] * 3


def test_a_customer_s_oldest_job_and_its_first_batch_come_first(owner: Caller) -> None:
    first, second = push(owner, records(20)), push(owner, records(20))
    work(batches=3)
    assert (account_of(first).status, account_of(second).processed) == ("completed", 10)
    assert [sequence for _, sequence in served()] == [0, 1, 0]


def test_a_batch_that_somebody_holds_is_passed_over(owner: Caller) -> None:
    push(owner, records(20))

    def claimed_elsewhere() -> int | None:
        with transaction.atomic():
            batch = claim()
            return batch.sequence if batch else None

    with transaction.atomic():
        first = claim()
        assert first is not None
        assert first.sequence == 0
        assert in_threads(claimed_elsewhere) == [1]
        second = claim()
        assert second is not None
        assert second.pk == first.pk  # the same transaction meets its own lock


def test_nothing_is_claimed_of_ended_or_cancelled_jobs(owner: Caller) -> None:
    push(owner, records(5))
    work()
    cancelled = push(owner, records(5))
    ImportJob.objects.filter(pk=cancelled.pk).update(cancelled_at=cancelled.created_at)
    with transaction.atomic():
        assert claim() is None


def test_a_claim_ends_with_its_transaction(owner: Caller) -> None:
    push(owner, records(5))
    for _ in range(2):
        with transaction.atomic():
            assert claim() is not None


def test_an_attempt_is_noted_outside_the_batch_s_transaction(owner: Caller) -> None:
    push(owner, records(5))

    def seen_elsewhere() -> tuple[str, str, bool]:
        attempt = BatchAttempt.objects.get()
        return ImportJob.objects.get().status, attempt.worker, attempt.ended_at is None

    with transaction.atomic():
        batch = claim()
        assert batch is not None
        attempt = attempts.begin(batch, worker="worker-7")
        assert attempt.start is not None
        assert in_threads(seen_elsewhere) == [("processing", "worker-7", True)]
        transaction.set_rollback(True)
    assert BatchAttempt.objects.get().ended_at is None
    attempts.end(attempt, "E" * 50)
    assert (BatchAttempt.objects.get().end, attempts.failed_before(batch)) == ("E" * 20, 1)


def test_only_the_first_attempt_of_a_job_starts_it(owner: Caller) -> None:
    push(owner, records(20))
    starts = []
    for batch in ImportBatch.objects.order_by("sequence"):
        starts.append(attempts.begin(batch, worker="w" * 200).start)
    assert [start is not None for start in starts] == [True, False]
