"""A dry run's commit over the wire: many at once, after losses, and when its server dies over it."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from functools import partial
from threading import Thread
from typing import Any

import pytest
from redis import Redis

from customers.models import Customer
from customers.signing import encode
from imports.models import ImportBatch, ImportJob
from imports.parts import digest_of
from tests.imports.api.pair import at_once, pair_of_servers, signers
from tests.imports.api.test_idempotency import Enrolled, Pair, kill
from tests.imports.api.wire import Answer, Signer
from tests.imports.dry_runs import dry_run
from tests.imports.pipeline import Caller, account_of, records, stuck_before_insert, work
from tests.live import granian_server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def pair(django_db_setup: None) -> Iterator[Pair]:
    with pair_of_servers() as servers:
        yield servers


@pytest.fixture
def callers(pair: Pair, owner: Enrolled) -> list[Signer]:
    return signers(pair, owner[1])


@pytest.fixture
def checked(owner: Enrolled) -> ImportJob:
    """A finished dry run of the owner's."""
    return dry_run(Caller(*owner), records(12_000))


def commit(caller: Signer, checked: ImportJob, **others: Any) -> Answer:
    body = json.dumps({"digest": encode(digest_of(checked) or b"")}).encode()
    return caller.call("POST", f"/api/v1/imports/{checked.uuid}/commit", body, **others)


def test_50_commits_at_once_make_one_import_and_50_equal_answers(callers: list[Signer], checked: ImportJob) -> None:
    answers = at_once(*[partial(commit, callers[number % 2], checked) for number in range(50)])
    assert Counter(answer.status for answer in answers) == {202: 50}
    assert len({answer.body for answer in answers}) == 1
    job = ImportJob.objects.get(kind="import")
    assert str(job.uuid) == answers[0].json["jobId"]
    work()
    assert account_of(job).created == 12_000


def test_it_holds_after_a_flush_and_the_death_of_the_process_that_answered(
    callers: list[Signer], owner: Enrolled, checked: ImportJob
) -> None:
    with granian_server() as doomed:
        caller, _ = signers((doomed, doomed), owner[1])
        first = commit(caller, checked)
        kill(doomed)
    with Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.flushdb()
    answers = at_once(*[partial(commit, callers[number % 2], checked) for number in range(10)])
    assert {answer.body for answer in answers} == {first.body}
    assert ImportJob.objects.filter(kind="import").count() == 1


def test_a_process_that_dies_while_it_commits_leaves_the_dry_run_free(
    callers: list[Signer], owner: Enrolled, checked: ImportJob
) -> None:
    answers: list[Answer] = []

    def try_to_commit() -> None:
        try:
            answers.append(commit(caller, checked))
        except OSError:
            return

    with granian_server() as doomed, stuck_before_insert("imports_importbatch") as stuck:
        caller, _ = signers((doomed, doomed), owner[1])
        first = Thread(target=try_to_commit)
        first.start()
        stuck.wait()
        kill(doomed)
        first.join(timeout=20)
        stuck.release()
    assert answers == []
    answer = commit(callers[0], checked)
    assert answer.status == 202
    assert [str(job.uuid) for job in ImportJob.objects.filter(kind="import")] == [answer.json["jobId"]]
    assert ImportBatch.objects.exclude(job=checked).count() == checked.batch_count


def test_commits_and_pushes_share_the_limit_of_running_imports(
    callers: list[Signer], owner: Enrolled, checked: ImportJob
) -> None:
    Customer.objects.filter(pk=owner[0].pk).update(max_concurrent_imports=3)
    dry_runs = [checked, *(dry_run(Caller(*owner), records(1, f"P{number}")) for number in range(9))]
    answers = at_once(*[partial(commit, callers[number % 2], dry_runs[number % 10]) for number in range(20)])
    assert {answer.status for answer in answers} == {202, 429}
    refused = [answer for answer in answers if answer.status == 429]
    assert {answer.code for answer in refused} == {"too_many_running_imports"}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
    assert ImportJob.objects.filter(kind="import").count() == 3
    assert len({answer.json["jobId"] for answer in answers if answer.status == 202}) == 3


def test_a_commit_counts_in_the_bulk_quota(callers: list[Signer], owner: Enrolled, checked: ImportJob) -> None:
    Customer.objects.filter(pk=owner[0].pk).update(bulk_per_minute=2)
    statuses = [commit(callers[0], checked).status for _ in range(3)]
    assert statuses == [202, 202, 429]
