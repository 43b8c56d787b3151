"""The same import twice, at once, after losses: one job, and one answer for everybody."""

import asyncio
import http.client
import os
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from threading import Thread
from typing import Any

import psutil
import pytest
from redis import Redis

from customers.enrolment import IssuedKey
from customers.models import Customer
from imports.api.idempotency import Turns, idempotency_key
from imports.api.problems import Problem
from imports.models import ImportJob
from tests.imports.api.pair import BULK, at_once, body_of, head_alone, pair_of_servers, signers
from tests.imports.api.wire import Answer, Signer
from tests.imports.pipeline import stuck_before_insert
from tests.live import LiveServer, granian_server

Pair = tuple[LiveServer, LiveServer]
Enrolled = tuple[Customer, IssuedKey]
BODY = body_of(count=200)
KEY = {"Idempotency-Key": "export-1"}


@pytest.fixture(scope="module")
def pair(django_db_setup: None) -> Iterator[Pair]:
    with pair_of_servers() as servers:
        yield servers


@pytest.fixture
def callers(pair: Pair, owner: Enrolled) -> list[Signer]:
    return signers(pair, owner[1])


def push(caller: Signer, body: bytes = BODY, **others: Any) -> Answer:
    return caller.call("POST", BULK, body, headers=KEY, **others)


def test_50_equal_imports_at_once_make_one_job_and_50_equal_answers(callers: list[Signer]) -> None:
    answers = at_once(*[partial(push, callers[number % 2]) for number in range(50)])
    assert Counter(answer.status for answer in answers) == {202: 50}
    assert len({answer.body for answer in answers}) == 1
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert [str(job.uuid) for job in ImportJob.objects.all()] == [answers[0].json["jobId"]]


def test_a_repetition_is_answered_before_its_body(callers: list[Signer]) -> None:
    first = push(callers[0])
    for caller in callers:
        again = head_alone(caller, BODY, **KEY)
        assert (again.status, again.body) == (202, first.body)
        assert again.headers["connection"] == "close"
        assert "ratelimit" in again.headers


def test_another_body_is_refused_before_it_comes(callers: list[Signer]) -> None:
    push(callers[0])
    refused = head_alone(callers[1], body_of("other"), **KEY)
    assert (refused.status, refused.code) == (422, "idempotency_key_reused")
    assert push(callers[1], body_of("other")).status == 422
    assert ImportJob.objects.count() == 1


def test_a_large_repetition_that_is_sent_all_the_same_sees_its_answer(callers: list[Signer]) -> None:
    """A caller who does not read while it sends: what is under way is swallowed."""
    body = body_of("A") + b" " * 20_000_000
    first = push(callers[0], body)
    assert first.status == 202
    assert push(callers[1], body).body == first.body


def test_it_holds_after_a_flush_and_the_death_of_the_process_that_answered(
    callers: list[Signer], owner: Enrolled
) -> None:
    with granian_server() as doomed:
        caller, _ = signers((doomed, doomed), owner[1])
        first = push(caller)
        kill(doomed)
    with Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.flushdb()
    answers = at_once(*[partial(push, callers[number % 2]) for number in range(50)])
    assert {answer.body for answer in answers} == {first.body}
    assert ImportJob.objects.count() == 1


def kill(server: LiveServer) -> None:
    """As the kernel does when memory is short: the process that runs the application is gone at once."""
    process = server.worker()
    process.kill()
    psutil.wait_procs([process], timeout=10)


def try_to_push(caller: Signer) -> None:
    with pytest.raises((OSError, http.client.HTTPException)):
        push(caller)


def test_a_process_that_dies_while_it_accepts_leaves_the_key_free(callers: list[Signer], owner: Enrolled) -> None:
    with granian_server() as doomed, stuck_before_insert("imports_importjob") as stuck:
        caller, _ = signers((doomed, doomed), owner[1])
        first = Thread(target=try_to_push, args=(caller,))
        first.start()
        stuck.wait()
        kill(doomed)
        first.join(timeout=20)
        stuck.release()
    answer = push(callers[0])
    assert answer.status == 202
    assert [str(job.uuid) for job in ImportJob.objects.all()] == [answer.json["jobId"]]


def test_exactly_five_of_50_at_once_are_accepted(callers: list[Signer], stranger: Enrolled, pair: Pair) -> None:
    answers = at_once(
        *[partial(callers[number % 2].call, "POST", BULK, body_of(f"A-{number}")) for number in range(50)]
    )
    assert Counter(answer.status for answer in answers) == {202: 5, 429: 45}
    refused = [answer for answer in answers if answer.status == 429]
    assert {answer.code for answer in refused} == {"too_many_running_imports"}
    assert all(int(answer.headers["retry-after"]) > 0 and "ratelimit" in answer.headers for answer in refused)
    assert ImportJob.objects.count() == 5
    assert signers(pair, stranger[1])[0].call("POST", BULK, BODY).status == 202


def test_at_the_limit_a_body_is_refused_before_it_comes_and_a_repetition_is_not(
    callers: list[Signer], owner: Enrolled
) -> None:
    Customer.objects.filter(pk=owner[0].pk).update(max_concurrent_imports=1)
    first = push(callers[0])
    refused = head_alone(callers[1], body_of("B"))
    assert (refused.status, refused.code) == (429, "too_many_running_imports")
    assert head_alone(callers[1], BODY, **KEY).body == first.body


def test_refused_imports_are_not_remembered(callers: list[Signer]) -> None:
    assert push(callers[0], b'{"metadata":{}}').status == 422
    assert push(callers[1]).status == 202


@pytest.mark.parametrize("key", ["", '""', "a b", "k" * 256, '"open'])
def test_a_key_that_is_none_is_refused(callers: list[Signer], key: str) -> None:
    refused = callers[0].call("POST", BULK, BODY, headers={"Idempotency-Key": key})
    assert (refused.status, refused.code) == (422, "invalid_parameter")


def test_bare_and_quoted_are_the_same_key() -> None:
    assert idempotency_key(["abc"]) == idempotency_key(['"abc"']) == "abc"
    assert idempotency_key([]) == ""
    with pytest.raises(Problem):
        idempotency_key(["abc", "abc"])


def test_turns_come_one_by_one_and_leave_nothing_behind() -> None:
    at_a_time, most = 0, 0
    turns = Turns()

    async def take(key: str) -> None:
        nonlocal at_a_time, most
        async with turns.of(key):
            at_a_time += 1
            most = max(most, at_a_time)
            await asyncio.sleep(0)
            at_a_time -= 1

    async def all_at_once() -> None:
        await asyncio.gather(*[take("a") for _ in range(20)])

    asyncio.run(all_at_once())
    assert (most, turns._locks, turns._users) == (1, {}, {})


def test_who_waits_too_long_is_told_and_does_not_break_the_line() -> None:
    async def meet() -> list[str]:
        turns, told = Turns(wait_seconds=0.05), []
        async with turns.of("a"):
            try:
                async with turns.of("a"):
                    told.append("both at once")
            except Problem as problem:
                told.append(problem.code)
            async with turns.of("b"):
                told.append("another key")
        async with turns.of("a"):
            told.append("free again")
        return told

    assert asyncio.run(meet()) == ["idempotency_in_flight", "another key", "free again"]


def test_a_caller_who_leaves_gives_up_its_turn(callers: list[Signer]) -> None:
    """It announces a body, sends none of it and goes; the next one with its key is not kept waiting."""
    assert head_alone(callers[0], BODY, **KEY).status == 0
    before = time.monotonic()
    assert push(callers[0]).status == 202
    assert time.monotonic() - before < 3
