from collections.abc import Iterator

import pytest
from django.test import override_settings

from audit.context import Actor, acting_as
from customers import enrolment
from imports import batching, doorbell, publishing
from tests.imports.pipeline import Caller, enrol


@pytest.fixture
def owner(db: None) -> Caller:
    """Pushes the imports of a test. Where django_db says transaction=True, what it does is committed; a test that has
    no second connection is quicker without."""
    return enrol("Owner")


@pytest.fixture
def colleague(owner: Caller) -> Caller:
    """Another program of the owner's customer, with a key of its own."""
    with acting_as(Actor("command", "tests")):
        return Caller(owner.customer, enrolment.issue_key(owner.customer))


@pytest.fixture
def stranger(db: None) -> Caller:
    """Another customer's program, which sees and touches nothing of the owner's."""
    return enrol("Stranger")


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> int:
    """Batches of ten records, so that a job of many batches is quick."""
    monkeypatch.setattr(batching, "MAX_BATCH_RECORDS", 10)
    return 10


@pytest.fixture
def empty_queue() -> Iterator[None]:
    """Nobody has rung yet."""
    doorbell.queue().delete(delete_jobs=True)
    yield
    doorbell.queue().delete(delete_jobs=True)


@pytest.fixture
def dead_valkey(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Valkey is away: nobody listens at its address."""
    monkeypatch.setattr(publishing, "_state", publishing._State())
    doorbell.queue.cache_clear()
    with override_settings(REDIS_URL="unix:///nowhere/valkey.sock"):
        yield
    doorbell.queue.cache_clear()
