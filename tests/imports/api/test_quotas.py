"""Quotas as callers meet them: two real web processes, one count."""

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from customers.enrolment import IssuedKey
from customers.models import Customer
from tests.imports.api.pair import (
    BULK,
    LIMITS,
    LIST,
    METADATA,
    VALIDATE,
    Timed,
    body_of,
    head_alone,
    most_in,
    pair_of_servers,
    signers,
    timed,
)
from tests.imports.api.wire import Answer, Signer
from tests.live import LiveServer

SECONDS = 3  # of tests.imports.api.quick_app
Pair = tuple[LiveServer, LiveServer]
Enrolled = tuple[Customer, IssuedKey]


@pytest.fixture(scope="module")
def pair(django_db_setup: None) -> Iterator[Pair]:
    with pair_of_servers("tests.imports.api.quick_app:application") as servers:
        yield servers


@pytest.fixture(scope="module")
def pair_without_valkey(django_db_setup: None) -> Iterator[Pair]:
    with pair_of_servers("tests.imports.api.quick_app:application", REDIS_URL="unix:///nowhere/valkey.sock") as servers:
        yield servers


def limit(customer: Customer, **limits: int) -> None:
    Customer.objects.filter(pk=customer.pk).update(**limits)


def call_on(callers: list[Signer], *, threads: int, seconds: float) -> list[Timed]:
    """Every caller lists imports without a pause from several threads."""
    end = time.time() + seconds

    def go_on(caller: Signer) -> list[Timed]:
        made = []
        while time.time() < end:
            made.append(timed(lambda: caller.call("GET", LIST)))
        return made

    with ThreadPoolExecutor(threads) as pool:
        runs = [pool.submit(go_on, callers[number % len(callers)]) for number in range(threads)]
        return [call for run in runs for call in run.result()]


def test_no_window_over_two_processes_holds_more_than_the_quota(pair: Pair, owner: Enrolled) -> None:
    customer, issued = owner
    limit(customer, status_per_minute=30)
    calls = call_on(signers(pair, issued), threads=8, seconds=2.2 * SECONDS)
    passed = [call for call in calls if call.answer.status == 200]
    refused = [call.answer for call in calls if call.answer.status != 200]
    assert most_in(SECONDS, passed) <= 30
    assert 60 <= len(passed) <= 90
    assert {(answer.status, answer.code) for answer in refused} == {(429, "quota_exceeded")}
    assert all(1 <= int(answer.headers["retry-after"]) <= SECONDS for answer in refused)


def test_without_valkey_two_processes_together_stay_within_the_quota(
    pair_without_valkey: Pair, owner: Enrolled
) -> None:
    customer, issued = owner
    limit(customer, status_per_minute=30)
    calls = call_on(signers(pair_without_valkey, issued), threads=4, seconds=1.2 * SECONDS)
    assert {call.answer.status for call in calls} == {200, 429}
    passed = [call for call in calls if call.answer.status == 200]
    assert 30 <= len(passed) <= 60
    assert most_in(SECONDS, passed) <= 30


def test_a_lost_valkey_makes_no_call_slow_and_none_fail(pair_without_valkey: Pair, owner: Enrolled) -> None:
    _, issued = owner
    one, two = signers(pair_without_valkey, issued)
    calls = [timed(lambda: one.call("GET", LIST)) for _ in range(20)]
    calls += [timed(lambda: two.call("POST", BULK, body_of("A-1"), headers={"Idempotency-Key": "k"})) for _ in range(5)]
    assert {call.answer.status for call in calls} == {200, 202}
    assert sorted(call.ended - call.began for call in calls)[len(calls) // 2] < 0.5


def test_each_call_counts_in_its_own_quota(pair: Pair, owner: Enrolled, stranger: Enrolled) -> None:
    customer, issued = owner
    limit(customer, bulk_per_minute=1, validate_per_minute=1, status_per_minute=2)
    one, two = signers(pair, issued)

    def name_of(answer: Answer) -> str:
        return answer.headers["ratelimit"].split(";")[0]

    statuses = [
        (caller.call(method, path, body), name)
        for caller, method, path, body, name in [
            (one, "POST", BULK, body_of("A-1"), '"bulk"'),
            (two, "POST", BULK, body_of("A-1"), '"bulk"'),
            (one, "POST", VALIDATE, body_of("A-1"), '"validate"'),
            (two, "POST", VALIDATE, body_of("A-1"), '"validate"'),
            (one, "GET", LIST, b"", '"status"'),
            (two, "POST", "/api/v1/records/lookup", b'{"type":"customer","id":"A-1"}', '"status"'),
            (one, "GET", LIST, b"", '"status"'),
        ]
    ]
    assert [answer.status for answer, _ in statuses] == [202, 429, 200, 429, 200, 404, 429]
    assert [name_of(answer) for answer, _ in statuses] == [name for _, name in statuses]
    assert signers(pair, stranger[1])[0].call("GET", LIST).status == 200


def test_every_signed_answer_says_what_is_left(pair: Pair, owner: Enrolled) -> None:
    customer, issued = owner
    limit(customer, status_per_minute=3, bulk_per_minute=1)
    one, two = signers(pair, issued)
    answers = [
        one.call("GET", LIST),
        two.call("GET", "/api/v1/nothing-here"),
        one.call("GET", f"{LIST}?limit=wrong"),
        two.call("GET", LIST),
        one.call("POST", BULK, b"{"),
    ]
    assert [answer.status for answer in answers] == [200, 404, 422, 429, 400]
    assert [answer.headers["ratelimit-policy"] for answer in answers] == [
        *['"status";q=3;w=3'] * 4,
        '"bulk";q=1;w=3',
    ]
    left = [re.fullmatch(r'"(?:status|bulk)";r=(\d+);t=([1-3])', answer.headers["ratelimit"]) for answer in answers]
    assert [found and int(found[1]) for found in left] == [2, 1, 0, 0, 0]
    refused = answers[3]
    assert refused.headers["ratelimit"].endswith(f"t={refused.headers['retry-after']}")


def test_a_call_that_is_not_counted_says_nothing(pair: Pair, owner: Enrolled) -> None:
    """Without a right signature nobody learns a customer's quota; a replay comes before the count."""
    _, issued = owner
    one, _ = signers(pair, issued)
    token = one.authorization("GET", LIST)
    assert one.call("GET", LIST, headers={}).status == 200
    wrong = one.call("GET", LIST, host="elsewhere")
    assert (wrong.status, "ratelimit" in wrong.headers) == (401, False)
    assert token


def test_a_body_beyond_the_quota_is_never_read(pair: Pair, owner: Enrolled) -> None:
    customer, issued = owner
    limit(customer, bulk_per_minute=1)
    one, two = signers(pair, issued)
    assert one.call("POST", BULK, body_of("A-1")).status == 202
    refused = head_alone(two, body_of("A-2"))
    assert (refused.status, refused.code) == (429, "quota_exceeded")
    assert refused.headers["connection"] == "close"


def test_a_caller_can_read_its_limits(pair: Pair, owner: Enrolled) -> None:
    customer, issued = owner
    limit(customer, bulk_per_minute=7, max_concurrent_imports=2)
    one, two = signers(pair, issued)
    one.call("POST", BULK, body_of("A-1"))
    assert one.call("POST", LIST, json.dumps({"metadata": METADATA}).encode()).status == 201
    found = two.call("GET", LIMITS)
    assert found.status == 200
    assert found.json["quotas"] == [
        {"name": "bulk", "limit": 7, "used": 1, "remaining": 6, "windowSeconds": 3, "resetSeconds": 3},
        {"name": "status", "limit": 5000, "used": 2, "remaining": 4998, "windowSeconds": 3, "resetSeconds": 3},
        {"name": "validate", "limit": 2000, "used": 0, "remaining": 2000, "windowSeconds": 3, "resetSeconds": 3},
    ]
    assert found.json["imports"] == {"running": 1, "maxRunning": 2, "open": 1, "maxOpen": 20, "maxBytes": 4 * 2**30}
    assert found.json["body"]["maxBytes"] == 52_428_800


def test_limits_are_the_customer_s_own_and_need_a_scope(pair: Pair, owner: Enrolled, stranger: Enrolled) -> None:
    one, two = signers(pair, owner[1])
    one.call("POST", BULK, body_of("A-1"))
    other = signers(pair, stranger[1])[1].call("GET", LIMITS)
    assert other.json["imports"]["running"] == 0
    key = owner[1].key
    key.scopes = ["imports:write"]
    key.save(update_fields=["scopes"])
    time.sleep(1.1)  # a key is kept for a second
    assert two.call("GET", LIMITS).code == "scope_missing"
