import asyncio
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.utils import timezone
from pytest_django import Settings
from redis import Redis, RedisError

from imports import tickets
from imports.models import ImportJob

NOW = datetime(2024, 3, 15, tzinfo=UTC)


def key_of(token: str) -> str:
    return f"longshore:ticket:{hashlib.sha256(token.encode()).hexdigest()}"


def test_a_ticket_opens_its_job_once(watched_job: ImportJob) -> None:
    ticket = tickets.issue(watched_job, watched_job.customer_id, NOW)
    assert ticket.expires_at == NOW + timedelta(seconds=60)
    assert len(ticket.token) == 43
    assert tickets.redeem(ticket.token) == tickets.Admission(watched_job.uuid, watched_job.customer_id)
    assert tickets.redeem(ticket.token) is None


def test_of_many_that_come_at_once_one_is_admitted(watched_job: ImportJob) -> None:
    token = tickets.issue(watched_job, watched_job.customer_id, NOW).token

    async def rush() -> list[tickets.Admission | None]:
        return await asyncio.gather(*(asyncio.to_thread(tickets.redeem, token) for _ in range(20)))

    assert sum(admission is not None for admission in asyncio.run(rush())) == 1


def test_valkey_keeps_the_digest_alone_and_for_a_minute(watched_job: ImportJob) -> None:
    ticket = tickets.issue(watched_job, watched_job.customer_id, timezone.now())
    valkey = Redis.from_url(settings.REDIS_URL)
    assert 55_000 < int(valkey.pttl(key_of(ticket.token))) <= 60_000
    kept = [*valkey.scan_iter("longshore:ticket:*"), valkey.get(key_of(ticket.token))]
    assert ticket.token not in repr(kept)
    assert ticket.token not in repr(ticket)


def test_an_expired_or_unknown_ticket_opens_nothing(watched_job: ImportJob) -> None:
    token = tickets.issue(watched_job, watched_job.customer_id, NOW).token
    Redis.from_url(settings.REDIS_URL).pexpire(key_of(token), 0)
    assert tickets.redeem(token) is None
    assert tickets.redeem("A" * 43) is None
    assert tickets.redeem("") is None
    assert tickets.redeem("ä" * 5000) is None


def test_without_valkey_there_are_no_tickets(watched_job: ImportJob, settings: Settings) -> None:
    settings.REDIS_URL = "unix:///nowhere/valkey.sock?db=0"
    with pytest.raises(RedisError):
        tickets.issue(watched_job, watched_job.customer_id, NOW)
    with pytest.raises(RedisError):
        tickets.redeem("A" * 43)
