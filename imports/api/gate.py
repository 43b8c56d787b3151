"""The door of everything below /api/v1/: an ASGI application in front of Django.

It refuses by form, length, size, signature, network and media type before a byte of the body is read. Then it reads
the body into memory, checks its digest and hands Django a SignedCall and an empty body, so that nothing is ever spooled
to a file. Every answer carries X-Request-ID; the server adds Date.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from django.db import connections

from audit.context import Actor, acting_as
from imports.api import admission
from imports.api.call import REQUEST_ID_KEY, SCOPE_KEY, SignedCall, choose_request_id
from imports.api.head import Head, header_values, read_head
from imports.api.media import GZIP, VERIFY_PATH, intake_of, media_type_of
from imports.api.problems import MEDIA_TYPE, Problem, problem_of
from imports.api.receiving import (
    SWALLOW_SECONDS,
    SWALLOW_SECONDS_UNSIGNED,
    Disconnected,
    Receive,
    receive_body,
    swallow,
)
from imports.api.unpacking import Slots, is_small, unpack, unpack_small
from imports.api.verify import VERIFICATION_KEY, check_rate, verification

Scope = dict[str, Any]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
T = TypeVar("T")

PREFIX: Final = "/api/v1"
# A wrong mac is answered no earlier than this, so that no look-up tells by its time whether the key exists.
REFUSAL_SECONDS: Final = 0.03

_THREADS: Final = 8

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Progress:
    """How far a call came, which decides how a refusal is sent."""

    is_signed: bool = False
    is_body_begun: bool = False
    is_body_read: bool = False


class Gate:
    """Wraps Django's ASGI application. One a process: it holds the places for large bodies and a few threads."""

    def __init__(self, django: Application, *, idle_seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._django = django
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._slots = Slots()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="gate")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers or forwards one call; anything that is not HTTP below /api/v1 goes to Django as it is."""
        if scope["type"] != "http" or not _is_gated(scope):
            await self._django(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope[REQUEST_ID_KEY] = request_id
        send = _identified(send, request_id)
        progress = _Progress()
        async with AsyncExitStack() as held:
            try:
                await self._admit(scope, receive, progress, held)
            except Disconnected:
                logger.info("caller_gone", extra={"request_id": request_id})
                return
            except Exception as error:  # noqa: BLE001 - the outermost edge: _refusal logs what is a fault of ours
                problem = _refusal(error, request_id)
            else:
                await self._django(_emptied(scope), _nothing_more(receive), send)
                return
            await _refuse(problem, scope, receive, send, progress)

    async def _admit(self, scope: Scope, receive: Receive, progress: _Progress, held: AsyncExitStack) -> None:
        """Puts the SignedCall (or Verification) into the scope; what must be kept until the answer goes into `held`."""
        head = read_head(scope)
        source_ip = admission.source_address(scope.get("client"), head)
        if head.path == VERIFY_PATH and head.method == "POST":
            scope[VERIFICATION_KEY] = await self._verify(head, source_ip, receive, progress)
            return
        token = admission.read_token(head)
        admission.check_clock(token, self._clock())
        looked_up_at = asyncio.get_running_loop().time()
        try:
            admitted = await self._in_thread(admission.admit, head, token, source_ip)
        except Problem as problem:
            progress.is_signed = problem.code != "signature_invalid"
            if not progress.is_signed:
                await asyncio.sleep(looked_up_at + REFUSAL_SECONDS - asyncio.get_running_loop().time())
            raise
        progress.is_signed = True
        progress.is_body_begun = True
        wire, digest = await receive_body(receive, length=head.length, idle_seconds=self._idle_seconds)
        progress.is_body_read = True
        if digest != token.body_sha256:
            raise Problem("signature_digest")
        size_on_wire = len(wire)
        unpacking, wire = self._unpacked(head, wire, held), b""
        call = SignedCall(
            customer_id=admitted.key.customer_id,
            key_pk=admitted.key.key_pk,
            key_id=admitted.key.key_id,
            scopes=admitted.key.scopes,
            content_type=admitted.media_type,
            body=await unpacking,
            body_sha256=digest,
            size_on_wire=size_on_wire,
            request_id=scope[REQUEST_ID_KEY],
            source_ip=source_ip,
        )
        held.callback(call.release)
        held.enter_context(
            acting_as(Actor("key", call.key_id), source_ip=source_ip or None, request_id=call.request_id)
        )
        scope[SCOPE_KEY] = call

    async def _verify(self, head: Head, source_ip: str, receive: Receive, progress: _Progress) -> Any:
        await self._in_thread(check_rate, source_ip)
        media_type_of(head, intake_of(head))
        now, step, token = self._clock(), "", None
        try:
            token = admission.read_token(head)
            admission.check_clock(token, now)
            await self._in_thread(admission.check_key, head, token, source_ip)
        except Problem as problem:
            if not problem.step:
                raise
            step = problem.step
        progress.is_body_begun = True
        _, digest = await receive_body(receive, length=head.length, idle_seconds=self._idle_seconds)
        if token and not step and digest != token.body_sha256:
            step = "digest"
        return verification(head, token, step=step, body_sha256=digest, now=now)

    async def _unpacked(self, head: Head, wire: bytes, held: AsyncExitStack) -> bytes:
        """The plain body. A large one takes a place, which it keeps until the call is answered."""
        is_packed = head.content_encoding == GZIP and head.length > 0
        if not is_packed and is_small(wire):
            return wire
        if is_packed and is_small(wire):
            body = await asyncio.to_thread(unpack_small, wire)
            if body is not None:
                return body
        await held.enter_async_context(self._slots.place())
        return await asyncio.to_thread(unpack, wire) if is_packed else wire

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, _with_connection, function, *arguments)


def _with_connection(function: Callable[..., T], *arguments: Any) -> T:
    """These threads are not Django's, so nobody else gives their connections back to the pool."""
    try:
        return function(*arguments)
    finally:
        connections.close_all()


def _is_gated(scope: Scope) -> bool:
    """True where Django would find an API view; both spellings count, since Django resolves the decoded path."""
    paths = (scope["path"], scope.get("raw_path", b"").decode("latin-1"))
    return any(path == PREFIX or path.startswith(f"{PREFIX}/") for path in paths)


def _request_id(scope: Scope) -> str:
    given = header_values(scope, b"x-request-id")
    return choose_request_id(given[0] if len(given) == 1 else None)


def _identified(send: Send, request_id: str) -> Send:
    async def identified(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = [(name, value) for name, value in message.get("headers", ()) if name.lower() != b"x-request-id"]
            message = {**message, "headers": [*headers, (b"x-request-id", request_id.encode())]}
        await send(message)

    return identified


def _emptied(scope: Scope) -> Scope:
    """What Django sees: the same request without a body, since the SignedCall carries it."""
    left_out = (b"content-length", b"content-encoding", b"expect")
    headers = [(name, value) for name, value in scope["headers"] if name.lower() not in left_out]
    return {**scope, "headers": [*headers, (b"content-length", b"0")]}


def _nothing_more(receive: Receive) -> Receive:
    is_first = True

    async def nothing_more() -> Mapping[str, Any]:
        nonlocal is_first
        if is_first:
            is_first = False
            return {"type": "http.request", "body": b"", "more_body": False}
        return await receive()

    return nothing_more


def _refusal(error: Exception, request_id: str) -> Problem:
    problem = problem_of(error)
    if problem is None:
        logger.error("gate_failed", exc_info=error, extra={"request_id": request_id})
        problem = Problem("internal_error")
    logger.info("refused", extra={"request_id": request_id, "code": problem.code})
    # The caller keeps it in a frame that its traceback holds. That cycle would keep the connection, and with it a body
    # that nobody reads, until the garbage collector comes by (seen: 8 of 40 connections open after 3 s).
    return problem.with_traceback(None)


async def _refuse(problem: Problem, scope: Scope, receive: Receive, send: Send, progress: _Progress) -> None:
    """Answers, and where a body is under way swallows it, so that the caller gets to see the answer."""
    raw_path = scope.get("raw_path") or scope["path"].encode()
    content = problem.body(instance=raw_path.decode("ascii", "replace"), request_id=scope[REQUEST_ID_KEY])
    headers = {**problem.headers, "Content-Type": MEDIA_TYPE, "Content-Length": str(len(content))}
    has_body = any(value != "0" for value in header_values(scope, b"content-length")) or bool(
        header_values(scope, b"transfer-encoding")
    )
    if has_body and not progress.is_body_read and scope["http_version"].startswith("1"):
        # Tells the caller to stop sending, and keeps what it still sends from being read as its next request.
        headers["Connection"] = "close"
    await send(
        {
            "type": "http.response.start",
            "status": problem.status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": content})
    if has_body and not progress.is_body_begun:
        await swallow(
            receive,
            seconds=SWALLOW_SECONDS if progress.is_signed else SWALLOW_SECONDS_UNSIGNED,
            expects_continue=bool(header_values(scope, b"expect")),
        )
