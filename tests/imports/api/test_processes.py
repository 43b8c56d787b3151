"""One customer, several web processes: what is counted is counted once, whatever becomes of Valkey."""

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from redis import Redis

from config.embedded import EmbeddedServers
from customers.enrolment import IssuedKey
from customers.models import Customer
from imports.models import ImportJob
from tests.config.probes import tcp_listeners, wait_until
from tests.imports.api.pair import BULK, LIST, VALIDATE, at_once, body_of, pair_of_servers, signers
from tests.imports.api.wire import Answer, Signer
from tests.live import LiveServer, granian_server

Enrolled = tuple[Customer, IssuedKey]


@pytest.fixture(scope="module")
def three(django_db_setup: None) -> Iterator[LiveServer]:
    """One port, three processes behind it, as `manage.py web` has them."""
    with granian_server(processes_count=3) as server:
        wait_until(lambda: all(tcp_listeners(worker.pid) for worker in server.workers()) and len(server.workers()) == 3)
        yield server


@pytest.fixture
def caller(three: LiveServer, owner: Enrolled) -> Signer:
    return Signer(three, owner[1].key_id, owner[1].secret)


def statuses(*calls: Callable[[], Answer]) -> Counter[int]:
    return Counter(answer.status for answer in at_once(*calls))


def test_exactly_five_of_50_posts_at_once_run_whichever_process_they_meet(three: LiveServer, caller: Signer) -> None:
    before = [worker.cpu_times().user for worker in three.workers()]
    found = statuses(*[partial(caller.call, "POST", BULK, body_of(f"A-{number}")) for number in range(50)])
    assert found == {202: 5, 429: 45}
    assert ImportJob.objects.count() == 5
    worked = [worker.cpu_times().user for worker in three.workers()]
    assert all(now > then for now, then in zip(worked, before, strict=True)), "a process had nothing to do"


def test_50_equal_posts_at_once_are_one_job_whichever_process_they_meet(caller: Signer) -> None:
    push = partial(caller.call, "POST", BULK, body_of("A"), headers={"Idempotency-Key": "k"})
    answers = at_once(*[push] * 50)
    assert {(answer.status, answer.body) for answer in answers} == {(202, answers[0].body)}
    assert ImportJob.objects.count() == 1


def test_the_quotas_of_the_house_are_1000_5000_and_2000_in_any_minute(caller: Signer) -> None:
    answers = [
        caller.call("POST", BULK, body_of("A")),
        caller.call("GET", LIST),
        caller.call("POST", VALIDATE, body_of("A")),
    ]
    assert [answer.headers["ratelimit-policy"] for answer in answers] == [
        '"bulk";q=1000;w=60',
        '"status";q=5000;w=60',
        '"validate";q=2000;w=60',
    ]


def test_a_customers_own_quota_holds_on_every_process_within_a_second(
    three: LiveServer, caller: Signer, owner: Enrolled, stranger: Enrolled
) -> None:
    list_all = partial(caller.call, "GET", LIST)
    assert statuses(*[list_all] * 12) == {200: 12}
    Customer.objects.filter(pk=owner[0].pk).update(status_per_minute=15)
    time.sleep(1.0)  # a key, and its customer's limits with it, is kept for a second
    assert statuses(*[list_all] * 12) == {200: 3, 429: 9}
    Customer.objects.filter(pk=owner[0].pk).update(status_per_minute=20)
    time.sleep(1.0)
    assert statuses(*[list_all] * 12) == {200: 5, 429: 7}
    assert Signer(three, stranger[1].key_id, stranger[1].secret).call("GET", LIST).status == 200


def test_a_flush_lets_one_more_window_through_and_no_more(caller: Signer, owner: Enrolled) -> None:
    Customer.objects.filter(pk=owner[0].pk).update(status_per_minute=10)
    list_all = partial(caller.call, "GET", LIST)
    assert statuses(*[list_all] * 20) == {200: 10, 429: 10}
    with Redis.from_url(os.environ["REDIS_URL"]) as valkey:
        valkey.flushdb()
    assert statuses(*[list_all] * 20) == {200: 10, 429: 10}
    assert statuses(*[list_all] * 20) == {429: 20}


@pytest.fixture
def own_valkey() -> Iterator[EmbeddedServers]:
    """One that a test may kill."""
    home = Path(tempfile.mkdtemp(prefix="ls-"))
    servers = EmbeddedServers(home / "data", with_postgres=False, say=lambda _line: None)
    yield servers
    servers.stop()
    shutil.rmtree(home)


def test_a_valkey_that_dies_and_comes_back_fails_no_call_and_opens_no_quota(
    own_valkey: EmbeddedServers, owner: Enrolled
) -> None:
    """Each of two processes goes on with its half of the quota, from zero, then both with the whole one, from zero."""
    Customer.objects.filter(pk=owner[0].pk).update(status_per_minute=10)
    url = own_valkey.start().redis_url
    with pair_of_servers(REDIS_URL=url) as pair:
        calls = [partial(caller.call, "GET", LIST) for caller in signers(pair, owner[1])] * 10
        assert statuses(*calls) == {200: 10, 429: 10}
        own_valkey.children["valkey"].kill()
        own_valkey.children["valkey"].wait()
        assert statuses(*calls) == {200: 10, 429: 10}
        assert statuses(*calls) == {429: 20}
        own_valkey.stop()
        own_valkey.start()
        after: Counter[int] = Counter()
        with Redis.from_url(url) as valkey:
            wait_until(lambda: after.update(statuses(*calls)) or valkey.dbsize())
        after += statuses(*calls)
        assert (after[200], set(after)) == (10, {200, 429})
