"""What the socket's tests share: a job that moves on, and a socket inside this process."""

import asyncio
import hashlib
import json
import os
from collections.abc import Awaitable, Iterable
from typing import Any

from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from channels.routing import URLRouter
from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import F
from django.test import Client
from django.utils import timezone

from customers.models import Customer
from imports import publishing
from imports.models import ImportJob
from imports.routing import websocket_urlpatterns

QUIET_SECONDS = 0.4

Headers = Iterable[tuple[bytes, bytes]]


def make_job(customer: Customer, *, total: int = 1000) -> ImportJob:
    now = timezone.now()
    return ImportJob.objects.create(
        customer=customer,
        metadata=b"sealed",
        request_id="r" * 32,
        body_digest=hashlib.sha256(os.urandom(8)).digest(),
        total=total,
        batch_count=1,
        created_at=now,
        expires_at=now,
    )


def advance(job: ImportJob, *, records: int = 1, rings: bool = True) -> int:
    """One commit as a worker makes it, and the ring that follows it. The new revision."""
    now = timezone.now()
    ImportJob.objects.filter(pk=job.pk).update(
        processed=F("processed") + records,
        created=F("created") + records,
        revision=F("revision") + 1,
        status=ImportJob.Status.PROCESSING,
        started_at=now,
    )
    return _ring(job, rings=rings)


def finish(job: ImportJob, *, rings: bool = True) -> int:
    ImportJob.objects.filter(pk=job.pk).update(
        processed=F("total"),
        created=F("total"),
        revision=F("revision") + 1,
        status=ImportJob.Status.COMPLETED,
        finished_at=timezone.now(),
    )
    return _ring(job, rings=rings)


def _ring(job: ImportJob, *, rings: bool) -> int:
    job.refresh_from_db()
    if rings:
        publishing.publish(job.pk, job.uuid, job.revision, final=job.is_finished)
    return job.revision


def signed_in(user: User) -> Headers:
    """The headers of a browser that is signed in as the user."""
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
    return [(b"cookie", cookie.encode())]


async def in_thread(call: Any, *args: Any, **kwargs: Any) -> Any:
    return await database_sync_to_async(call)(*args, **kwargs)


class Socket:
    """A connection to the routed consumer. (channels.testing itself cannot be imported without daphne.)"""

    def __init__(self, path: str, headers: Headers = ()) -> None:
        path, _, query = path.partition("?")
        scope = {"type": "websocket", "path": path, "query_string": query.encode(), "headers": list(headers)}
        communicator: Any = ApplicationCommunicator  # asgiref has no types for it
        self._wire = communicator(URLRouter(websocket_urlpatterns), scope | {"subprotocols": []})

    async def connect(self) -> None:
        """Every connection is accepted; whether it is admitted shows in what it says next."""
        await self._wire.send_input({"type": "websocket.connect"})
        output = await self.output(3)
        assert output["type"] == "websocket.accept", output

    async def say(self, text: str) -> None:
        await self._wire.send_input({"type": "websocket.receive", "text": text})

    async def leave(self) -> None:
        await self._wire.send_input({"type": "websocket.disconnect", "code": 1005})
        await self._wire.wait(3)

    async def output(self, timeout: float = 3) -> Any:
        return await self._wire.receive_output(timeout)

    async def frame(self, timeout: float = 3) -> dict[str, Any]:
        output = await self.output(timeout)
        assert output["type"] == "websocket.send", output
        frame: dict[str, Any] = json.loads(output["text"])
        assert set(frame) == {"seq", "type", "jobId", "at", "data"}
        return frame

    async def close_code(self, timeout: float = 3) -> int:
        output = await self.output(timeout)
        assert output["type"] == "websocket.close", output
        return int(output["code"])

    async def is_quiet(self) -> bool:
        return bool(await self._wire.receive_nothing(timeout=QUIET_SECONDS, interval=0.02))

    async def frames_to_the_end(self) -> tuple[list[dict[str, Any]], list[float], int]:
        """Every frame until the close, when each came (in seconds of the loop's clock), and the close code."""
        frames: list[dict[str, Any]] = []
        times: list[float] = []
        while (output := await self.output(10))["type"] == "websocket.send":
            frames.append(json.loads(output["text"]))
            times.append(asyncio.get_running_loop().time())
        return frames, times, int(output["code"])


async def opened(job: ImportJob, token: str, *, query: str = "") -> Socket:
    socket = Socket(f"/ws/imports/{job.uuid}?ticket={token}{query}")
    await socket.connect()
    return socket


async def all_of(*calls: Awaitable[Any]) -> list[Any]:
    return list(await asyncio.gather(*calls))
