"""The newest state of a job, read from PostgreSQL once for all the sockets of this process that show it.

Valkey only says that there may be something new. Each ring is followed by a read, and so is the subscription once it
stands; what Valkey lost is found by reading again every 5 s, or every second while there is no subscription.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from typing import Any, Final, cast
from uuid import UUID
from weakref import WeakKeyDictionary

import orjson
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from django.db import utils as database
from django.db.models.functions import Now
from redis import RedisError

from imports import publishing
from imports.models import ImportJob
from imports.progress import Snapshot, snapshot, wire_time

REREAD_SECONDS: Final = 5.0
REREAD_UNHEARD_SECONDS: Final = 1.0
SPACING_SECONDS: Final = 0.1
SETTLING_SECONDS: Final = publishing.THROTTLE_SECONDS + 0.05
SUBSCRIBE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0

logger = logging.getLogger(__name__)


class Unreadable(Exception):
    """The database gave no answer: try again later."""


@dataclass(frozen=True)
class Frame:
    """One state of a job, and its two forms on the wire, each encoded once however many sockets send it."""

    seq: int
    customer_id: int
    job: UUID
    at: str
    data: Snapshot
    is_final: bool

    @cached_property
    def as_snapshot(self) -> str:
        return self._text("snapshot")

    @cached_property
    def as_event(self) -> str:
        return self._text(self.data["status"] if self.is_final else "progress")

    def _text(self, kind: str) -> str:
        return orjson.dumps(
            {"seq": self.seq, "type": kind, "jobId": str(self.job), "at": self.at, "data": self.data}
        ).decode()


@asynccontextmanager
async def watching(job: UUID) -> AsyncIterator["Feed"]:
    """The feed of a job, started by its first watcher and stopped after its last."""
    feeds = _feeds.setdefault(asyncio.get_running_loop(), {})
    feed = feeds.get(job)
    if feed is None:
        feed = feeds[job] = Feed(job)
    feed.watchers += 1
    try:
        yield feed
    finally:
        feed.watchers -= 1
        if not feed.watchers:
            del feeds[job]
            feed.stop()


class Feed:
    """Reached through `watching`. `newest` is None before the first read, and once the job is gone."""

    def __init__(self, job: UUID) -> None:
        self.job = job
        self.watchers = 0
        self.newest: Frame | None = None
        self._reads_begun = 0
        self._reads_ended = 0
        self._is_readable = True
        self._is_broken = False
        self._settles_at: float | None = None
        self._subscribed = asyncio.Event()
        self._bell = asyncio.Event()
        self._turn = asyncio.Event()
        self._running = asyncio.create_task(self._run())

    async def fresh(self) -> Frame | None:
        """The state by a read that began after this call; None where there is no such job. Raises Unreadable."""
        wanted = self._reads_begun + 1
        self._bell.set()
        while self._reads_ended < wanted:
            await self._change()
        if not self._is_readable:
            raise Unreadable
        return self.newest

    async def beyond(self, seq: int) -> Frame | None:
        """The newest state, once it is newer than `seq` or final; None once the job is gone."""
        while (frame := self.newest) is not None and frame.seq <= seq and not frame.is_final:
            await self._change()
        return frame

    def stop(self) -> None:
        """Ends in its own time, so that no socket waits for a Valkey that hangs."""
        _stopping.add(self._running)
        self._running.add_done_callback(_stopping.discard)
        self._running.cancel()

    async def _change(self) -> None:
        if self._is_broken:
            raise Unreadable
        await self._turn.wait()

    def _announce(self) -> None:
        self._turn.set()
        self._turn = asyncio.Event()

    async def _run(self) -> None:
        listening = asyncio.create_task(self._listen())
        try:
            # Subscribed before the first read, so that nothing falls between the two.
            await _wait(self._subscribed, SUBSCRIBE_SECONDS)
            while True:
                self._bell.clear()
                self._reads_begun += 1
                await self._read()
                self._reads_ended = self._reads_begun
                self._announce()
                await asyncio.sleep(SPACING_SECONDS)
                await self._rest()
        except Exception:
            logger.exception("feed_broken job=%s", self.job)
            self._is_broken = True
            self._announce()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _read(self) -> None:
        try:
            # Not thread-sensitive: a slow database must not hold the one thread that all sockets share.
            job = await database_sync_to_async(_find, thread_sensitive=False)(self.job)
        except database.Error as err:
            if self._is_readable:
                logger.warning("feed_unreadable job=%s cause=%s", self.job, type(err).__name__)
            self._is_readable = False
            return
        self._is_readable = True
        self.newest = _frame(job) if job is not None else None

    async def _rest(self) -> None:
        """Until there is reason to read again."""
        now = asyncio.get_running_loop().time()
        is_over = self._is_readable and (self.newest is None or self.newest.is_final)
        is_heard = self._is_readable and self._subscribed.is_set()
        limits = [] if is_over else [REREAD_SECONDS if is_heard else REREAD_UNHEARD_SECONDS]
        if self._settles_at is not None:
            limits.append(max(self._settles_at - now, 0))
        await _wait(self._bell, min(limits, default=None))
        if self._settles_at is not None and asyncio.get_running_loop().time() >= self._settles_at:
            self._settles_at = None

    def _ring(self) -> None:
        self._settles_at = asyncio.get_running_loop().time() + SETTLING_SECONDS
        self._bell.set()

    async def _listen(self) -> None:
        layer, group = get_channel_layer(), publishing.group_name(self.job)
        channel = await self._persist(layer.new_channel)
        receiving = asyncio.create_task(self._receive(layer, channel))
        try:
            await self._persist(partial(layer.group_add, group, channel))
            self._subscribed.set()
            # The layer does not wait for Valkey to confirm: a commit on the way is found by the read that settles.
            self._ring()
            await receiving
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)
            with contextlib.suppress(RedisError, OSError):
                async with asyncio.timeout(SUBSCRIBE_SECONDS):
                    await layer.group_discard(group, channel)

    async def _receive(self, layer: Any, channel: str) -> None:
        while True:
            await layer.receive(channel)
            self._ring()

    async def _persist(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """The call's answer, however often it takes. The layer keeps a queue of each new_channel that failed, hence
        the growing pause."""
        pause_seconds = REREAD_UNHEARD_SECONDS
        while True:
            try:
                async with asyncio.timeout(SUBSCRIBE_SECONDS):
                    return await call()
            except (RedisError, OSError) as err:  # a TimeoutError is an OSError
                logger.warning("feed_unheard job=%s cause=%s", self.job, type(err).__name__)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)


def _find(job: UUID) -> ImportJob | None:
    """The job and, by the database's clock, when it was read."""
    found = ImportJob.objects.annotate(read_at=Now()).filter(uuid=job)
    return found.defer("metadata", "idempotency_digest", "body_digest").first()


def _frame(job: ImportJob) -> Frame:
    now: datetime = cast(Any, job).read_at
    return Frame(job.revision, job.customer_id, job.uuid, wire_time(now), snapshot(job, now), job.is_finished)


async def _wait(event: asyncio.Event, seconds: float | None) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


# One feed a job and event loop; a process has one loop. A loop keeps weak references to its tasks, hence the second.
_feeds: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[UUID, Feed]] = WeakKeyDictionary()
_stopping: set[asyncio.Task[None]] = set()
