"""Bodies under way take no more memory of a web process than they are given, and small ones get by."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from threading import Thread

import psutil
import pytest

from customers import signing
from customers.enrolment import IssuedKey
from customers.models import Customer
from imports.api.body_memory import SMALL_BODY_BYTES, BodyMemory, Room
from imports.api.problems import Problem
from tests.imports.api.wire import BODY, JSON, Signer, status_of
from tests.live import LiveServer, granian_server

Enrolled = tuple[Customer, IssuedKey]
VALIDATE = "/api/v1/imports/validate"
MEGABYTES = 192
SIZE = 50_000_000
UPLOADS = 40
TAKEN = 2  # one of each customer, who has half of 144 MB
PIECE = bytes(64 * 1024)


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[LiveServer]:
    environment = {"WEB_BODY_MEMORY_MB": str(MEGABYTES)}
    with granian_server("tests.imports.api.tight_app:application", environment=environment) as running:
        yield running
        assert "gate_failed" not in running.log


class SlowUploads:
    """Many at once, from one program: each sends what is taken until little is left, then waits to be let go."""

    def __init__(self, caller: Signer, count: int) -> None:
        self.caller, self.count = caller, count
        self.statuses: list[int] = []
        self.retry_after: list[bool] = []
        self._digest = signing.body_digest(bytes(SIZE))
        self._loop = asyncio.new_event_loop()
        self._go_on = asyncio.Event()
        self._thread = Thread(target=self._loop.run_until_complete, args=(self._all(),))

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        self._loop.call_soon_threadsafe(self._go_on.set)
        self._thread.join(60)
        assert not self._thread.is_alive()

    async def _all(self) -> None:
        await asyncio.gather(*[self._one() for _ in range(self.count)])

    async def _one(self) -> None:
        server = self.caller.server
        reader, writer = await asyncio.open_connection(server.host, server.port)
        token = self.caller.authorization("POST", VALIDATE, content_type=JSON, body_sha256=self._digest)
        head = f"POST {VALIDATE} HTTP/1.1\r\nHost: {server.host}:{server.port}\r\nContent-Type: {JSON}\r\n"
        writer.write(f"{head}Content-Length: {SIZE}\r\nAuthorization: {token}\r\n\r\n".encode())
        answer = asyncio.create_task(reader.read(65536))
        try:
            await self._send(writer, answer)
            received = await answer
        except ConnectionError:
            received = await answer
        self.statuses.append(status_of(received))
        self.retry_after.append(b"retry-after: " in received)
        writer.close()

    async def _send(self, writer: asyncio.StreamWriter, answer: "asyncio.Task[bytes]") -> None:
        left = SIZE
        while left and not answer.done():
            if left <= 20 * len(PIECE):
                waiting = asyncio.create_task(self._go_on.wait())
                await asyncio.wait([waiting, answer], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
            piece = PIECE[:left]
            writer.write(piece)
            left -= len(piece)
            drained = asyncio.create_task(writer.drain())
            await asyncio.wait([drained, answer], return_when=asyncio.FIRST_COMPLETED)
            drained.cancel()


def test_forty_slow_uploads_of_50_mb_stay_within_the_memory_and_small_calls_get_by(
    server: LiveServer, owner: Enrolled, stranger: Enrolled
) -> None:
    callers = [Signer(server, issued.key_id, issued.secret) for _, issued in (owner, stranger)]
    for caller in callers:
        assert caller.call("POST", body=BODY).status == 200
    worker: psutil.Process = server.worker()
    before = peak = worker.memory_info().rss
    uploads = [SlowUploads(caller, UPLOADS // 2) for caller in callers]
    for some in uploads:
        some.start()
    ended, deadline = 0, time.monotonic() + 60
    while ended < UPLOADS - TAKEN:
        assert time.monotonic() < deadline, uploads[0].statuses
        for caller in callers:
            assert caller.call("POST", body=BODY).status == 200
            assert caller.call("GET").status == 200
            assert caller.call("POST", VALIDATE, bytes(SMALL_BODY_BYTES)).status == 200
        peak = max(peak, worker.memory_info().rss)
        ended = sum(len(some.statuses) for some in uploads)
    for some in uploads:
        some.finish()
    assert Counter(status for some in uploads for status in some.statuses) == {200: TAKEN, 503: UPLOADS - TAKEN}
    assert sum(sum(some.retry_after) for some in uploads) == UPLOADS - TAKEN
    assert peak - before < MEGABYTES * 2**20


def test_room_is_taken_in_turn_and_given_back() -> None:
    async def scene() -> None:
        room, told = Room(100), []

        async def upload(name: str, customer: int, size: int, until: asyncio.Event) -> None:
            async with room.place(customer, size):
                told.append(name)
                await until.wait()

        async with asyncio.TaskGroup() as tasks:
            first, then = asyncio.Event(), asyncio.Event()
            tasks.create_task(upload("a", 1, 50, first))
            tasks.create_task(upload("b", 2, 40, then))
            await asyncio.sleep(0)
            assert told == ["a", "b"]
            tasks.create_task(upload("c, large", 3, 30, then))
            tasks.create_task(upload("d, would fit", 4, 10, then))
            tasks.create_task(upload("e, of a customer at its half", 1, 5, then))
            for _ in range(3):
                await asyncio.sleep(0)
            assert told == ["a", "b"]  # nobody passes by who came first
            first.set()
            for _ in range(5):
                await asyncio.sleep(0)
            assert told[2:] == ["c, large", "d, would fit", "e, of a customer at its half"]
            then.set()
        assert (room._free, room._held, room._waiting) == (100, Counter(), [])

    asyncio.run(scene())


def test_a_customer_gets_half_and_keeps_nobody_else_waiting() -> None:
    async def scene() -> None:
        room = Room(100)
        async with AsyncExitStack() as held:
            await held.enter_async_context(room.place(1, 30))
            waiting = asyncio.create_task(held.enter_async_context(room.place(1, 30)))
            await asyncio.sleep(0)
            await held.enter_async_context(room.place(2, 60))
            assert not waiting.done()
            waiting.cancel()
            await asyncio.wait([waiting])
        assert (room._free, room._held, room._waiting) == (100, Counter(), [])
        async with room.place(1, 80):  # one body always fits
            pass

    asyncio.run(scene())


def test_who_waits_too_long_for_room_is_told_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imports.api.body_memory.WAIT_SECONDS", 0.05)

    async def scene() -> None:
        memory = BodyMemory(128)
        large = 96 * 2**20
        async with memory.place(1, large):
            with pytest.raises(Problem) as refused:
                async with memory.place(2, large):
                    pass
            assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "5")
            async with memory.place(2, SMALL_BODY_BYTES):
                pass
        async with memory.place(2, large):
            pass

    asyncio.run(scene())


def test_room_is_given_back_by_a_failing_call() -> None:
    async def scene() -> None:
        room = Room(10)
        for _ in range(3):
            with pytest.raises(ValueError, match="failed"):
                async with room.place(1, 10):
                    raise ValueError("failed")

    asyncio.run(scene())
