import pytest
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from audit.context import Actor, acting_as
from imports import doorbell, tasks
from tests.imports.pipeline import Caller, account_of, push, records

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("small_batches", "empty_queue")]


def take_message() -> Job | None:
    """The next message, as a worker takes it; None where nobody rang."""
    queue = doorbell.queue()
    taken = Queue.dequeue_any([queue], None, connection=queue.connection, serializer=JSONSerializer)
    return taken[0] if taken else None


def answer(message: Job | None) -> None:
    assert message is not None
    with acting_as(Actor("system", "worker-1")):
        message.perform()


def test_a_message_works_through_many_batches(owner: Caller) -> None:
    job = push(owner, records(55))
    answer(take_message())
    assert account_of(job).status == "completed"


def test_a_worker_passes_its_turn_on_while_there_is_work(owner: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "TURN_SECONDS", 0.0)
    job = push(owner, records(35))
    doorbell.queue().delete(delete_jobs=True)
    doorbell.ring_on(job.pk)
    for processed in (10, 20, 30, 35):
        assert account_of(job).processed == processed - (5 if processed == 35 else 10)
        answer(take_message())
        assert account_of(job).processed == processed
    answer(take_message())
    assert take_message() is None
    assert account_of(job).status == "completed"


def test_a_message_for_a_job_that_is_gone_serves_whoever_waits(owner: Caller, stranger: Caller) -> None:
    job = push(stranger, records(5))
    with acting_as(Actor("system", "worker-1")):
        tasks.work(4711)
    assert account_of(job).status == "completed"


def test_a_second_message_for_the_same_work_finds_nothing(owner: Caller) -> None:
    job = push(owner, records(15))
    answer(take_message())
    answer(take_message())
    assert account_of(job).created == 15
    assert take_message() is None
