import asyncio
import logging
import time
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from channels.layers import get_channel_layer
from django.conf import settings
from pytest_django import Settings
from redis import Redis
from redis.client import PubSub

from imports import publishing

JOB = UUID("0d2c1c54-3d57-4a6b-9a51-9c8f8a8f1d11")


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "_state", publishing._State())


@pytest.fixture
def rings() -> Iterator[PubSub]:
    """What arrives in Valkey for the job."""
    valkey = Redis.from_url(settings.REDIS_URL)
    with valkey.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
        channel.subscribe(publishing.channel_name(JOB))
        channel.get_message(timeout=1)
        yield channel


def count(rings: PubSub) -> int:
    found = 0
    while rings.get_message(timeout=0.1) is not None:
        found += 1
    return found


def test_the_channel_layer_delivers_what_is_published() -> None:
    """The proof that name and format are the layer's own."""

    async def listen() -> object:
        layer = get_channel_layer()
        channel = await layer.new_channel()
        await layer.group_add(publishing.group_name(JOB), channel)
        await asyncio.sleep(0.1)
        await asyncio.to_thread(publishing.publish, 1, JOB, 7)
        return await asyncio.wait_for(layer.receive(channel), 2)

    assert asyncio.run(listen()) == {"type": "import.changed", "revision": 7}


def test_a_burst_rings_once_and_the_end_always_rings(rings: PubSub) -> None:
    for revision in range(100):
        publishing.publish(1, JOB, revision)
    publishing.publish(1, JOB, 100, final=True)
    assert count(rings) == 2


def test_another_job_and_a_quarter_second_later_ring_again(rings: PubSub, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    publishing.publish(1, JOB, 1)
    publishing.publish(2, JOB, 1)
    assert count(rings) == 2
    clock += 0.26
    publishing.publish(1, JOB, 2)
    assert count(rings) == 1


def test_it_remembers_only_the_jobs_of_the_last_moment() -> None:
    for job_id in range(1000):
        publishing._state.note(job_id, float(job_id))
    assert len(publishing._state.rung_at) <= 100


def test_a_lost_valkey_costs_nothing_and_is_said_once_a_minute(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = "unix:///nowhere/valkey.sock?db=0"
    clock = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    with caplog.at_level(logging.WARNING, logger="imports.publishing"):
        for step in range(118):
            clock += 0.5
            publishing.publish(step, JOB, step)
            publishing.publish(step, JOB, step, final=True)
        assert len(caplog.records) == 1
        clock += 2
        publishing.publish(1, JOB, 1)
        assert len(caplog.records) == 2


def test_publishing_takes_less_than_a_millisecond() -> None:
    publishing.publish(0, JOB, 0)
    times = []
    for job_id in range(1, 200):
        job = uuid4()
        begun = time.perf_counter()
        publishing.publish(job_id, job, 1)
        times.append(time.perf_counter() - begun)
    assert sorted(times)[len(times) // 2] < 0.001
