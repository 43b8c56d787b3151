"""The worker's parent process, apart from the batches that its work-horses do."""

from types import SimpleNamespace
from typing import Any

import pytest
import redis
from rq.serializers import JSONSerializer

from imports import doorbell
from imports.management.commands.worker import ImportWorker


class Enough(Exception):
    """It has been seen to wait often enough."""


def test_an_idle_worker_looks_for_a_lost_valkey_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = doorbell.queue()
    pauses: list[float] = []
    worker: Any = ImportWorker([queue], connection=queue.connection, serializer=JSONSerializer, prepare_for_work=False)
    nowhere = redis.Redis.from_url("unix:///nowhere/valkey.sock")
    monkeypatch.setattr(worker, "procline", lambda _words: setattr(worker, "connection", nowhere))

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 6:
            raise Enough

    monkeypatch.setattr("rq.worker.base.time", SimpleNamespace(sleep=sleep))
    with pytest.raises(Enough):
        worker.dequeue_job_and_maintain_ttl(timeout=None)
    assert max(pauses) <= 1.0
