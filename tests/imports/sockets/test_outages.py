"""A Valkey that forgets, dies, hangs or never was there, and a database that gives no answer: the truth still comes."""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from config.embedded import EmbeddedServers
from imports import feed, publishing, tickets
from imports.models import ImportJob
from tests.imports.sockets.watching import Socket, advance, finish, in_thread, opened, signed_in

pytestmark = pytest.mark.anyio
IssueTicket = Callable[[], str]


@pytest.fixture
def valkey(settings: Settings) -> Iterator[EmbeddedServers]:
    """A Valkey of the test's own, which it may kill."""
    home = Path(tempfile.mkdtemp(prefix="ls-"))
    servers = EmbeddedServers(home / "data", with_postgres=False, say=lambda _line: None)
    try:
        use(settings, servers.start(output=home / "log").redis_url)
        yield servers
    finally:
        if servers.children:
            servers.children["valkey"].send_signal(signal.SIGCONT)
        servers.stop()
        shutil.rmtree(home)


def use(settings: Settings, url: str) -> None:
    layer = settings.CHANNEL_LAYERS["default"]
    hosts = [{**layer["CONFIG"]["hosts"][0], "address": url}]
    settings.REDIS_URL = url
    settings.CHANNEL_LAYERS = {"default": {**layer, "CONFIG": {**layer["CONFIG"], "hosts": hosts}}}


async def staff_socket(job: ImportJob, user: User) -> Socket:
    """Comes in without Valkey."""
    socket = Socket(f"/ws/imports/{job.uuid}", await in_thread(signed_in, user))
    await socket.connect()
    return socket


async def test_what_valkey_lost_is_read_from_the_database(
    watched_job: ImportJob, valkey: EmbeddedServers, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "REREAD_SECONDS", 0.6)
    token = (await in_thread(tickets.issue, watched_job, watched_job.customer_id, timezone.now())).token
    socket = await opened(watched_job, token)
    await socket.frame()
    Redis.from_url(settings.REDIS_URL).flushall()
    await until_settled()
    await in_thread(advance, watched_job, rings=False)
    assert (await socket.frame(timeout=1))["seq"] == 1
    await in_thread(advance, watched_job)
    assert (await socket.frame(timeout=0.5))["seq"] == 2
    await until_settled()
    await in_thread(finish, watched_job, rings=False)
    assert (await socket.frame(timeout=1))["type"] == "completed"
    assert await socket.close_code() == 1000


async def test_a_valkey_that_dies_and_comes_back_is_heard_again(
    watched_job: ImportJob, valkey: EmbeddedServers, settings: Settings, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "REREAD_SECONDS", 0.6)
    socket = await staff_socket(watched_job, staff)
    await socket.frame()
    valkey.children["valkey"].kill()
    await until_settled()
    await in_thread(advance, watched_job)
    assert (await socket.frame(timeout=1))["seq"] == 1

    monkeypatch.setattr(feed, "REREAD_SECONDS", 3600)
    await asyncio.to_thread(valkey.stop)
    await asyncio.to_thread(valkey.start)
    await until_subscribed(Redis.from_url(settings.REDIS_URL), publishing.channel_name(watched_job.uuid))
    await until_settled()
    monkeypatch.setattr(publishing, "_state", publishing._State())
    await in_thread(advance, watched_job)
    assert (await socket.frame(timeout=1))["seq"] == 2
    await socket.leave()


async def test_without_valkey_at_the_start_a_socket_works_and_hears_it_once_it_is_there(
    watched_job: ImportJob, valkey: EmbeddedServers, settings: Settings, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = (await in_thread(tickets.issue, watched_job, watched_job.customer_id, timezone.now())).token
    valkey.children["valkey"].kill()
    valkey.children["valkey"].wait()
    without_ticket = await opened(watched_job, token)
    assert await without_ticket.close_code() == 1013

    socket = await staff_socket(watched_job, staff)
    assert (await socket.frame())["type"] == "snapshot"
    await in_thread(advance, watched_job)
    assert (await socket.frame(timeout=1.5))["seq"] == 1

    monkeypatch.setattr(feed, "REREAD_SECONDS", 3600)
    await asyncio.to_thread(valkey.stop)
    await asyncio.to_thread(valkey.start)
    await until_subscribed(Redis.from_url(settings.REDIS_URL), publishing.channel_name(watched_job.uuid))
    await in_thread(finish, watched_job)
    assert (await socket.frame(timeout=1.5))["type"] == "completed"


async def test_a_valkey_that_hangs_keeps_nobody_waiting(
    watched_job: ImportJob, valkey: EmbeddedServers, staff: User
) -> None:
    token = (await in_thread(tickets.issue, watched_job, watched_job.customer_id, timezone.now())).token
    valkey.children["valkey"].send_signal(signal.SIGSTOP)
    without_ticket = await opened(watched_job, token)
    assert await without_ticket.close_code(timeout=1.5) == 1013
    socket = await staff_socket(watched_job, staff)
    assert (await socket.frame(timeout=2))["type"] == "snapshot"
    await in_thread(finish, watched_job)
    assert (await socket.frame(timeout=1.5))["type"] == "completed"
    assert await socket.close_code(timeout=0.5) == 1000


async def test_a_database_that_is_away_at_the_start_closes_with_try_later(
    watched_job: ImportJob, ticket: IssueTicket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_find", lose)
    socket = await opened(watched_job, await in_thread(ticket))
    assert await socket.close_code() == 1013


async def test_a_database_that_goes_away_later_is_asked_again(
    watched_job: ImportJob, ticket: IssueTicket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await opened(watched_job, await in_thread(ticket))
    await socket.frame()
    with monkeypatch.context() as outage:
        outage.setattr(feed, "_find", lose)
        await in_thread(advance, watched_job)
        assert await socket.is_quiet()
    assert (await socket.frame(timeout=1.5))["seq"] == 1
    assert [record.getMessage() for record in caplog.records if "feed_unreadable" in record.getMessage()] == [
        f"feed_unreadable job={watched_job.uuid} cause=OperationalError"
    ]
    await socket.leave()


async def test_a_fault_of_ours_closes_every_socket_and_is_logged(
    watched_job: ImportJob, ticket: IssueTicket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await opened(watched_job, await in_thread(ticket))
    await socket.frame()
    monkeypatch.setattr(feed, "_frame", lambda job: 1 // 0)
    await in_thread(advance, watched_job)
    assert await socket.close_code() == 1013
    assert any("feed_broken" in record.getMessage() and record.exc_info for record in caplog.records)


def lose(job: UUID) -> ImportJob | None:
    raise OperationalError("the connection is closed")


async def until_settled() -> None:
    """Past the read that follows a ring by 300 ms."""
    await asyncio.sleep(feed.SETTLING_SECONDS + 2 * feed.SPACING_SECONDS)


async def until_subscribed(valkey: Redis, channel: str) -> None:
    async with asyncio.timeout(10):
        while dict(valkey.pubsub_numsub(channel)) != {channel.encode(): 1}:
            await asyncio.sleep(0.05)
