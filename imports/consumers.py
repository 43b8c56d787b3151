"""/ws/imports/{id}: a job's progress, live. Counts and times only, each frame a whole state."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.db import utils as database
from redis import RedisError

from imports import feed, tickets

FRAME_SECONDS: Final = 0.25
STAFF_CHECK_SECONDS: Final = 60.0
MAX_MESSAGE_CHARACTERS: Final = 1024
MAX_MESSAGES: Final = 20
MESSAGES_SECONDS: Final = 10.0

FINISHED: Final = 1000
TOO_MANY_MESSAGES: Final = 1008
MESSAGE_TOO_LARGE: Final = 1009
FAULT: Final = 1011
TRY_LATER: Final = 1013
NOT_ADMITTED: Final = 4401
NOT_ALLOWED: Final = 4403
NO_SUCH_JOB: Final = 4404

PERMISSION: Final = "imports.view_importjob"

logger = logging.getLogger(__name__)


class ClientGone(Exception):
    """Nobody takes what is sent; the server's disconnect message follows."""


class ImportSocket(AsyncWebsocketConsumer):  # type: ignore[misc] # channels has no types
    """Admits by a ticket (`?ticket=`), from any origin, or by a staff session from an allowed one.

    Accepts before it refuses, since a client sees a close code only after that. Sends a snapshot, then events: at most
    four frames a second, each the newest state; with `?after=SEQ` only what is newer. Closes with 1000 after the last.
    """

    # An alias that does not exist: the feed holds one subscription for all sockets of a job, and a consumer with a
    # channel of its own would fail before it is accepted where Valkey is away.
    channel_layer_alias = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._ending: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._message_count = 0
        self._counted_from = 0.0
        await super().__call__(scope, partial(self._receive_or_end, receive), send)

    async def connect(self) -> None:
        await self.accept()
        self._tasks.append(asyncio.create_task(self._serve()))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Nothing is expected from a client; what it sends is dropped, and one that sends much is shut out."""
        now = asyncio.get_running_loop().time()
        if now - self._counted_from > MESSAGES_SECONDS:
            self._message_count, self._counted_from = 0, now
        self._message_count += 1
        if len(text_data or bytes_data or "") > MAX_MESSAGE_CHARACTERS:
            self._end(MESSAGE_TOO_LARGE)
        elif self._message_count > MAX_MESSAGES:
            self._end(TOO_MANY_MESSAGES)

    async def disconnect(self, code: int) -> None:
        await self._stop()

    async def socket_end(self, message: Mapping[str, Any]) -> None:
        """What _receive_or_end hears from _end."""
        await self._stop()
        await self.close(message["code"])
        raise StopConsumer

    async def _receive_or_end(self, receive: Callable[[], Awaitable[Any]]) -> Any:
        """The client's next message, or the word to close, with no receive() left pending: while there is one, granian
        holds a close frame back (its close waits for the lock that receive holds)."""
        if self._ending.done():
            return {"type": "socket.end", "code": self._ending.result()}
        receiving = asyncio.ensure_future(receive())
        try:
            await asyncio.wait((receiving, self._ending), return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                return receiving.result()
            return {"type": "socket.end", "code": self._ending.result()}
        finally:
            receiving.cancel()

    def _end(self, code: int) -> None:
        if not self._ending.done():
            self._ending.set_result(code)

    async def _serve(self) -> None:
        try:
            code = await self._admit_and_follow()
        except ClientGone:
            return
        except (RedisError, feed.Unreadable, database.Error) as err:
            logger.warning("socket_unavailable cause=%s", type(err).__name__)
            code = TRY_LATER
        except Exception:
            logger.exception("socket_fault")
            code = FAULT
        self._end(code)

    async def _admit_and_follow(self) -> int:
        query = parse_qs(self.scope["query_string"].decode("latin-1"))
        job = _job_id(self.scope["url_route"]["kwargs"]["job_id"])
        customer_id = None
        if "ticket" in query:
            # Its own thread: Valkey may keep us waiting.
            admission = await asyncio.to_thread(tickets.redeem, query["ticket"][0])
            if admission is None:
                return NOT_ADMITTED
            if admission.job != job:
                return NOT_ALLOWED
            customer_id = admission.customer_id
        else:
            user = self.scope.get("user")
            if user is None or not user.is_authenticated:
                return NOT_ADMITTED
            if not _is_allowed_origin(self.scope["headers"]) or not await _is_permitted(user):
                return NOT_ALLOWED
            self._tasks.append(asyncio.create_task(self._watch_session()))
        if job is None:
            return NO_SUCH_JOB
        async with feed.watching(job) as own_feed:
            return await self._follow(own_feed, customer_id, _after(query))

    async def _follow(self, own_feed: feed.Feed, customer_id: int | None, after: int) -> int:
        clock = asyncio.get_running_loop()
        frame = await own_feed.fresh()
        if frame is not None and customer_id is not None and frame.customer_id != customer_id:
            return NOT_ALLOWED
        seq, free_at = after, 0.0
        if frame is not None and frame.seq > after:
            await self._send(frame.as_snapshot)
            seq, free_at = frame.seq, clock.time() + (0 if frame.is_final else FRAME_SECONDS)
        while (frame := await own_feed.beyond(seq)) is not None:
            await asyncio.sleep(free_at - clock.time())
            # What came meanwhile replaces what was waited with.
            frame = own_feed.newest or frame
            await self._send(frame.as_event)
            if frame.is_final:
                return FINISHED
            seq, free_at = frame.seq, clock.time() + FRAME_SECONDS
        return NO_SUCH_JOB

    async def _watch_session(self) -> None:
        """Shuts the socket soon after the person signed out, lost the permission or was made inactive."""
        session_store = import_module(settings.SESSION_ENGINE).SessionStore
        session_key = self.scope["session"].session_key
        while True:
            await asyncio.sleep(STAFF_CHECK_SECONDS)
            try:
                user = await get_user({"session": session_store(session_key)})
                is_admitted = user.is_authenticated and await _is_permitted(user)
            except database.Error as err:
                logger.warning("socket_session_unchecked cause=%s", type(err).__name__)
                continue
            except Exception:
                # Not left to end in silence: the socket would go on unchecked.
                logger.exception("socket_fault")
                self._end(FAULT)
                return
            if not is_admitted:
                self._end(NOT_ADMITTED)
                return

    async def _send(self, text: str) -> None:
        try:
            await self.send(text_data=text)
        except (OSError, RuntimeError) as err:  # ASGI says OSError, granian raises a RuntimeError
            raise ClientGone from err

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _job_id(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


def _after(query: Mapping[str, list[str]]) -> int:
    """The last `seq` the client has; -1, so a snapshot, where it names none."""
    value = query.get("after", [""])[0]
    return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else -1


async def _is_permitted(user: Any) -> bool:
    return bool(user.is_active and user.is_staff and await database_sync_to_async(user.has_perm)(PERMISSION))


def _is_allowed_origin(headers: list[tuple[bytes, bytes]]) -> bool:
    """A browser sends the session's cookie from a stranger's page too, and says whose page it is: that must be ours.

    What sends no Origin is no browser.
    """
    origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
    validator = OriginValidator(None, settings.ALLOWED_HOSTS)
    try:
        return all(validator.valid_origin(urlsplit(origin)) for origin in origins)
    except ValueError:
        return False
