"""Who tries signatures is stopped, by address and before any look-up; everybody else goes on."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from customers import signing
from customers.enrolment import IssuedKey
from customers.models import Customer
from imports.api.throttling import FAILED_SIGNATURES
from tests.imports.api.pair import BULK, LIST, pair_of_servers, signers
from tests.imports.api.wire import Answer, Signer, send
from tests.live import LiveServer

Pair = tuple[LiveServer, LiveServer]
Enrolled = tuple[Customer, IssuedKey]
LOOPBACK = ""


@pytest.fixture(scope="module")
def pair(django_db_setup: None) -> Iterator[Pair]:
    """Behind a proxy on this machine, so that a test may call from where it likes."""
    with pair_of_servers(TRUSTED_PROXIES="127.0.0.1") as servers:
        yield servers


@pytest.fixture
def callers(pair: Pair, owner: Enrolled) -> list[Signer]:
    return signers(pair, owner[1])


def coming_from(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address} if address else {}


def fail(caller: Signer, address: str) -> Answer:
    """A well-formed signature by another secret."""
    wrong = Signer(caller.server, caller.key_id, signing.new_secret())
    return wrong.call("GET", LIST, headers=coming_from(address))


def fail_often(callers: list[Signer], address: str, times: int) -> Counter[int]:
    """The statuses of so many failures, over all the servers at once."""
    with ThreadPoolExecutor(16) as threads:
        answers = threads.map(lambda number: fail(callers[number % len(callers)], address), range(times))
        return Counter(answer.status for answer in answers)


@pytest.mark.parametrize("address", ["203.0.113.9", "2001:db8::9", LOOPBACK], ids=["v4", "v6", "loopback"])
def test_the_301st_failure_in_a_minute_is_answered_429(callers: list[Signer], address: str) -> None:
    FAILED_SIGNATURES.clear(address or "127.0.0.1")
    assert fail_often(callers, address, 299) == {401: 299}
    # A right signature is nobody's failure, and is taken until the address is stopped.
    assert callers[0].call("GET", LIST, headers=coming_from(address)).status == 200
    assert fail_often(callers, address, 40) == {401: 1, 429: 39}
    stopped = fail(callers[1], address)
    assert (stopped.status, stopped.code) == (429, "rate_limited")
    assert 1 <= int(stopped.headers["retry-after"]) <= 60
    for caller in callers:
        assert caller.call("GET", LIST, headers=coming_from(address)).status == 429
        assert caller.call("GET", LIST, headers=coming_from("203.0.113.77")).status == 200


def test_who_is_stopped_costs_no_look_up_in_any_process(callers: list[Signer], pair: Pair) -> None:
    address = "203.0.113.10"
    FAILED_SIGNATURES.clear(address)
    fail_often(callers[:1], address, 301)
    first = callers[1].call("GET", LIST, headers=coming_from(address))  # this process has seen none of the failures
    assert first.status == 429
    before = time.monotonic()
    answers = [fail(callers[number % 2], address) for number in range(40)]
    assert {answer.status for answer in answers} == {429}
    # An answer after a look-up is held back for 30 ms; these have nothing to hide.
    assert (time.monotonic() - before) / 40 < 0.025


def test_every_kind_of_failed_signature_counts(callers: list[Signer]) -> None:
    address, caller = "203.0.113.11", callers[0]
    FAILED_SIGNATURES.clear(address)
    unknown = Signer(caller.server, "bk_nobody_at_all", signing.new_secret())
    failures: list[Callable[[], Answer]] = [
        lambda: fail(caller, address),
        lambda: unknown.call("GET", LIST, headers=coming_from(address)),
        lambda: caller.call("GET", LIST, headers=coming_from(address), timestamp=int(time.time()) - 400),
        lambda: send(caller.server, "GET", LIST, headers=coming_from(address) | {"Authorization": "HMAC v1.x"}),
    ]
    for number, failure in enumerate(failures, 1):
        assert failure().status == 401
        assert FAILED_SIGNATURES.look(address).remaining == 300 - number


def test_what_carries_no_signature_is_refused_for_nothing_and_not_counted(callers: list[Signer]) -> None:
    address, server = "203.0.113.12", callers[0].server
    FAILED_SIGNATURES.clear(address)
    headers = coming_from(address) | {"Content-Length": "0"}
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: send(server, "POST", BULK, headers=headers), range(330)))
    assert {answer.status for answer in answers} == {401}
    assert FAILED_SIGNATURES.look(address).remaining == 300
    assert callers[0].call("GET", LIST, headers=coming_from(address)).status == 200


def test_a_forged_address_hides_nobody(owner: Enrolled, probe_server: LiveServer) -> None:
    """Without a trusted proxy the header is the caller's own invention."""
    caller = Signer(probe_server, owner[1].key_id, owner[1].secret)
    FAILED_SIGNATURES.clear("127.0.0.1")
    for number in range(3):
        fail(caller, f"203.0.113.{number}")
    assert FAILED_SIGNATURES.look("127.0.0.1").remaining == 297


def test_a_replay_is_no_failed_signature(callers: list[Signer]) -> None:
    address, caller = "203.0.113.13", callers[0]
    FAILED_SIGNATURES.clear(address)
    headers = coming_from(address) | {"Authorization": caller.authorization("GET", LIST)}
    assert [send(caller.server, "GET", LIST, headers=headers).status for _ in range(3)] == [200, 401, 401]
    assert FAILED_SIGNATURES.look(address).remaining == 300


def test_without_valkey_each_process_stops_at_its_share(owner: Enrolled) -> None:
    with pair_of_servers(TRUSTED_PROXIES="127.0.0.1", REDIS_URL="unix:///nowhere/valkey.sock") as servers:
        callers = signers(servers, owner[1])
        statuses = fail_often(callers[:1], "203.0.113.14", 160)
        assert statuses == {401: 150, 429: 10}
        assert callers[1].call("GET", LIST, headers=coming_from("203.0.113.14")).status == 200
