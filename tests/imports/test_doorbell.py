import json
import socket
import time
import zlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from django.test import override_settings

from imports import doorbell
from tests.imports.pipeline import Caller, push, records

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("small_batches", "empty_queue")]


@pytest.fixture
def this_second(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The doorbell's clock stands still; the fixture's value moves it on."""
    now = [1_700_000_000]
    monkeypatch.setattr("imports.doorbell.time", SimpleNamespace(time=lambda: now[0]))

    def move_on() -> None:
        now[0] += 1

    return move_on


@pytest.fixture
def hanging_valkey() -> Iterator[None]:
    """Something that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        doorbell.queue.cache_clear()
        with override_settings(REDIS_URL=f"redis://127.0.0.1:{listener.getsockname()[1]}/0", WORKERS=8):
            yield
        doorbell.queue.cache_clear()


@pytest.mark.parametrize(("count", "rings"), [(5, 1), (15, 2), (95, 4)])
def test_a_ring_wakes_as_many_workers_as_there_are_batches(owner: Caller, count: int, rings: int) -> None:
    with override_settings(WORKERS=4):
        push(owner, records(count))
        assert doorbell.waiting() == rings


def test_two_rings_within_a_second_are_one(owner: Caller, this_second: Any) -> None:
    job = push(owner, records(15))
    doorbell.ring(job.pk)
    assert doorbell.waiting() == 2
    this_second()
    doorbell.ring(job.pk)
    assert doorbell.waiting() == 4


def test_a_ring_for_nothing_wakes_nobody(owner: Caller) -> None:
    doorbell.ring(4711)
    assert doorbell.waiting() == 0


def test_a_worker_s_place_is_passed_on_whoever_rang(owner: Caller, this_second: Any) -> None:
    job = push(owner, records(15))
    doorbell.ring_on(job.pk)
    doorbell.ring_on(job.pk)
    assert doorbell.waiting() == 4


def test_a_message_carries_the_job_s_number_and_nothing_else(owner: Caller) -> None:
    job = push(owner, records(5), idempotency_key="canary")
    (message,) = doorbell.queue().get_jobs()
    stored: dict[bytes, bytes] = doorbell.queue().connection.hgetall(message.key)  # type: ignore[assignment]
    data = json.loads(zlib.decompress(stored[b"data"]))
    assert data == ["imports.tasks.work", None, [job.pk], {}]
    assert b"canary" not in b"".join(stored.values())


def test_a_ring_for_a_dead_valkey_never_raises(owner: Caller, dead_valkey: None) -> None:
    job = push(owner, records(15))
    doorbell.ring(job.pk)
    doorbell.ring_on(job.pk)
    with pytest.raises(redis.RedisError):
        doorbell.waiting()


def test_a_valkey_that_hangs_is_waited_for_once(owner: Caller, hanging_valkey: None) -> None:
    begun = time.monotonic()
    job = push(owner, records(80))
    assert time.monotonic() - begun < 4
    assert job.batch_count == 8


def test_outside_a_message_the_process_gives_the_worker_its_name() -> None:
    assert doorbell.worker_name().startswith("pid ")
