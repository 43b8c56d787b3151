import logging

import pytest
from django.db import OperationalError
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from audit.context import Actor, acting_as
from imports import doorbell, tasks
from imports.models import ImportJob
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


def test_a_fault_of_ours_is_logged_whole_and_goes_no_further(
    owner: Caller, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = lines_of_a_turn(owner, ValueError("canary"), caplog, monkeypatch)
    assert line.exc_info is not None
    assert line.exc_info[0] is ValueError
    assert "canary" not in line.getMessage()


def test_a_lost_database_is_one_line_without_a_traceback(
    owner: Caller, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = lines_of_a_turn(owner, OperationalError("canary\n" * 100), caplog, monkeypatch)
    assert line.getMessage().startswith("turn_cut_short job=")
    assert (line.exc_info, line.getMessage().count("\n"), "canary" in line.getMessage()) == (None, 0, False)


def lines_of_a_turn(
    caller: Caller, error: Exception, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> list[logging.LogRecord]:
    """What is logged where the error leaves a stage: a turn takes it in, and RQ never sees it."""

    def fails(**_arguments: str) -> bool:
        raise error

    monkeypatch.setattr(tasks, "process_next", fails)
    answer(take_message_for(push(caller, records(1))))
    return [entry for entry in caplog.records if entry.levelno >= logging.WARNING]


def take_message_for(job: ImportJob) -> Job | None:
    message = take_message()
    assert message is not None
    assert message.args == [job.pk]
    return message


def test_a_second_message_for_the_same_work_finds_nothing(owner: Caller) -> None:
    job = push(owner, records(15))
    answer(take_message())
    answer(take_message())
    assert account_of(job).created == 15
    assert take_message() is None
