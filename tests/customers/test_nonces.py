from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection, connections
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings
from redis import Redis

from customers import nonces
from customers.models import SeenNonce
from customers.signing import NONCE_SECONDS, new_nonce
from customers.valkey import try_again

KEY = "bk_nonces_0001"
NOBODY_LISTENS = "unix:///nowhere/valkey.sock"


@pytest.fixture
def valkey_down(settings: Settings) -> None:
    settings.REDIS_URL = NOBODY_LISTENS


@pytest.mark.django_db
@pytest.mark.parametrize("writes", [True, False])
def test_a_nonce_passes_once(writes: bool, valkey: Redis) -> None:
    nonce = new_nonce()
    assert nonces.remember(KEY, nonce, writes)
    assert not nonces.remember(KEY, nonce, writes)
    assert nonces.remember("bk_nonces_0002", nonce, writes)
    assert nonces.remember(KEY, new_nonce(), writes)
    assert NONCE_SECONDS - 5 <= valkey.ttl(f"nonce:{KEY}:{nonce}") <= NONCE_SECONDS


@pytest.mark.django_db
def test_a_write_stays_refused_after_valkey_forgot_everything(valkey: Redis) -> None:
    nonce = new_nonce()
    assert nonces.remember(KEY, nonce, True)
    valkey.delete(f"nonce:{KEY}:{nonce}")
    assert not nonces.remember(KEY, nonce, True)
    valkey.flushdb()
    assert not nonces.remember(KEY, nonce, True)


@pytest.mark.django_db
@pytest.mark.usefixtures("valkey_down")
def test_without_valkey_postgresql_decides_for_writes_and_reads_pass() -> None:
    nonce = new_nonce()
    assert nonces.remember(KEY, nonce, True)
    assert not nonces.remember(KEY, nonce, True)
    reading = new_nonce()
    assert nonces.remember(KEY, reading, False)
    assert nonces.remember(KEY, reading, False)


@pytest.mark.django_db
def test_a_write_seen_while_valkey_was_away_stays_refused_when_it_is_back(settings: Settings) -> None:
    nonce, url = new_nonce(), settings.REDIS_URL
    settings.REDIS_URL = NOBODY_LISTENS
    assert nonces.remember(KEY, nonce, True)
    settings.REDIS_URL = url
    try_again()
    assert not nonces.remember(KEY, nonce, True)


@pytest.mark.django_db
@pytest.mark.usefixtures("valkey_down")
def test_a_dead_valkey_is_asked_once_a_second(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = [100.0]
    monkeypatch.setattr("customers.valkey.time.monotonic", lambda: clock[0])
    for _ in range(10):
        assert nonces.remember(KEY, new_nonce(), False)
    assert caplog.text.count("nonces_without_valkey") == 1
    clock[0] += 1.5
    nonces.remember(KEY, new_nonce(), False)
    assert caplog.text.count("nonces_without_valkey") == 2


@pytest.mark.django_db
def test_reads_leave_no_row_and_a_replayed_write_no_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    nonce = new_nonce()
    with django_assert_num_queries(0):
        nonces.remember(KEY, new_nonce(), False)
    with django_assert_num_queries(1):
        nonces.remember(KEY, nonce, True)
    with django_assert_num_queries(0):
        nonces.remember(KEY, nonce, True)


@pytest.mark.django_db
def test_expired_nonces_are_forgotten_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    monkeypatch.setattr("customers.nonces._FORGET_AT_ONCE", 2)
    ages = [timedelta(0), timedelta(seconds=1), timedelta(hours=1), timedelta(days=2), timedelta(days=3)]
    for age in ages:
        SeenNonce.objects.create(key_id=KEY, nonce=new_nonce(), expires_at=now - age)
    kept = SeenNonce.objects.create(key_id=KEY, nonce=new_nonce(), expires_at=now + timedelta(seconds=1))
    assert nonces.forget_expired(now) == len(ages)
    assert nonces.forget_expired(now) == 0
    assert list(SeenNonce.objects.all()) == [kept]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("with_valkey", [True, False])
def test_of_100_parallel_replays_of_a_write_one_passes(with_valkey: bool, settings: Settings) -> None:
    if not with_valkey:
        settings.REDIS_URL = NOBODY_LISTENS
    nonce, together = new_nonce(), Barrier(20)

    def replay(_: int) -> bool:
        together.wait(timeout=20)
        try:
            return nonces.remember(KEY, nonce, True)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(replay, range(100)))
    assert answers.count(True) == 1
    assert SeenNonce.objects.filter(nonce=nonce).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_flush_between_parallel_replays_lets_none_through(valkey: Redis) -> None:
    nonce = new_nonce()
    assert nonces.remember(KEY, nonce, True)

    def replay(number: int) -> bool:
        try:
            if number % 3 == 0:
                valkey.delete(f"nonce:{KEY}:{nonce}")
            return nonces.remember(KEY, nonce, True)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as threads:
        assert not any(threads.map(replay, range(60)))


@pytest.mark.django_db(transaction=True)
def test_the_row_is_committed_at_once() -> None:
    nonce = new_nonce()
    assert nonces.remember(KEY, nonce, True)
    connection.close()
    assert SeenNonce.objects.filter(nonce=nonce).exists()
