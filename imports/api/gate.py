"""The door of everything below /api/v1/: an ASGI application in front of Django.

It refuses by form, length, size, signature, network and media type before a byte of the body is read. Then it reads
the body into memory, checks its digest and hands Django a SignedCall and an empty body, so that nothing is ever spooled
to a file. Every answer carries X-Request-ID; the server adds Date.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from django.db import connections

from audit.context import Actor, acting_as
from customers.signing import Token
from imports.api import admission, throttling
from imports.api.body_memory import BodyMemory
from imports.api.call import REQUEST_ID_KEY, SCOPE_KEY, SignedCall
from imports.api.head import Head, header_values, read_head
from imports.api.idempotency import Turns
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
from imports.api.relay import Scope, Send, adding, emptied, is_gated, nothing_ever, nothing_more, request_id_of
from imports.api.unpacking import Slots, is_small, unpack, unpack_small
from imports.api.verify import VERIFICATION_KEY, check_rate, verification
from imports.models import ImportJob

Application = Callable[[Scope, Receive, Send], Awaitable[None]]
T = TypeVar("T")

# A wrong mac is answered no earlier than this, so that no look-up tells by its time whether the key exists.
REFUSAL_SECONDS: Final = 0.03

_THREADS: Final = 8
# Refused before any mac was found right.
_UNSIGNED: Final = frozenset({"signature_form", "signature_invalid", "rate_limited"})

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Progress:
    """How far a call came, which decides how it is answered. `headers` go onto the answer, whoever makes it."""

    is_signed: bool = False
    is_body_begun: bool = False
    is_body_read: bool = False
    is_repetition: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class Gate:
    """Wraps Django's ASGI application. One a process: it holds the room for bodies and a few threads."""

    def __init__(
        self,
        django: Application,
        *,
        idle_seconds: float,
        body_memory_mb: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._django = django
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._memory = BodyMemory(body_memory_mb)
        self._slots = Slots()
        self._turns = Turns()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="gate")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers or forwards one call; anything that is not HTTP below /api/v1 goes to Django as it is."""
        if scope["type"] != "http" or not is_gated(scope):
            await self._django(scope, receive, send)
            return
        request_id = request_id_of(scope)
        scope[REQUEST_ID_KEY] = request_id
        progress = _Progress(headers={"X-Request-ID": request_id})
        send = adding(send, progress.headers)
        async with AsyncExitStack() as held:
            try:
                await self._admit(scope, receive, progress, held)
            except Disconnected:
                logger.info("caller_gone", extra={"request_id": request_id})
                return
            except Exception as error:  # noqa: BLE001 - the outermost edge: _refusal logs what is a fault of ours
                problem = _refusal(error, request_id)
            else:
                if not progress.is_repetition:
                    await self._django(emptied(scope), nothing_more(receive), send)
                    return
                _close_after(scope, progress)
                await self._django(emptied(scope), nothing_ever(), send)
                await _swallow(scope, receive, progress)
                return
            await _refuse(problem, scope, receive, send, progress)

    async def _admit(self, scope: Scope, receive: Receive, progress: _Progress, held: AsyncExitStack) -> None:
        """Puts the SignedCall (or Verification) into the scope; what must be kept until the answer goes into `held`."""
        head = read_head(scope)
        source_ip = admission.source_address(scope.get("client"), head)
        if head.path == VERIFY_PATH and head.method == "POST":
            scope[VERIFICATION_KEY] = await self._verify(head, source_ip, receive, progress)
            return
        throttling.refuse_known_offender(source_ip)
        token = await self._timely_token(head, source_ip)
        looked_up_at = asyncio.get_running_loop().time()
        try:
            admitted = await self._in_thread(admission.admit, head, token, source_ip)
        except Problem as problem:
            progress.is_signed = problem.code not in _UNSIGNED
            if not progress.is_signed:
                await asyncio.sleep(looked_up_at + REFUSAL_SECONDS - asyncio.get_running_loop().time())
            raise
        progress.is_signed = True
        progress.headers.update(admitted.quota_headers)
        call = SignedCall(
            customer_id=admitted.key.customer_id,
            key_pk=admitted.key.key_pk,
            key_id=admitted.key.key_id,
            scopes=admitted.key.scopes,
            content_type=admitted.media_type,
            body=b"",
            body_sha256=token.body_sha256,
            size_on_wire=head.length,
            request_id=scope[REQUEST_ID_KEY],
            source_ip=source_ip,
            idempotency_key=admitted.idempotency_key,
        )
        held.enter_context(
            acting_as(Actor("key", call.key_id), source_ip=source_ip or None, request_id=call.request_id)
        )
        repeated = await self._repeated(admitted, token, held)
        if repeated is not None:
            progress.is_repetition = True
            scope[SCOPE_KEY] = replace(call, repeated=repeated)
            return
        if head.length and await self._in_thread(admission.foresee_part, head, admitted, token):
            # The view finds the part by its digest and never looks at the body.
            progress.is_repetition = True
            scope[SCOPE_KEY] = call
            return
        if head.length:
            await held.enter_async_context(self._memory.place(call.customer_id, head.length))
        progress.is_body_begun = True
        wire, digest = await receive_body(receive, length=head.length, idle_seconds=self._idle_seconds)
        progress.is_body_read = True
        if digest != token.body_sha256:
            raise Problem("signature_digest")
        unpacking, wire = self._unpacked(head, wire, held), b""
        call = replace(call, body=await unpacking)
        held.callback(call.release)
        scope[SCOPE_KEY] = call

    async def _timely_token(self, head: Head, source_ip: str) -> Token:
        """The signature's token. A request without any is refused for nothing; one that failed is counted."""
        try:
            token = admission.read_token(head)
            admission.check_clock(token, self._clock())
        except Problem:
            if head.authorization:
                await self._in_thread(throttling.count_failed_signature, source_ip)
            raise
        return token

    async def _repeated(self, admitted: admission.Admission, token: Token, held: AsyncExitStack) -> ImportJob | None:
        """The job that this import made before. Where there is none, nobody else with its turn comes in until `held`
        ends."""
        async with AsyncExitStack() as turn:
            if admitted.turn is not None:
                await turn.enter_async_context(self._turns.of(admitted.turn))
            repeated = await self._in_thread(admission.foresee, admitted, token) if admitted.makes_import else None
            if repeated is None:
                held.push_async_exit(turn.pop_all())
        return repeated

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
    if not progress.is_body_read:
        _close_after(scope, progress)
    await send(
        {
            "type": "http.response.start",
            "status": problem.status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": content})
    if not progress.is_body_begun:
        await _swallow(scope, receive, progress)


def _close_after(scope: Scope, progress: _Progress) -> None:
    """Tells the caller to stop sending, and keeps what it still sends from being read as its next request."""
    if _has_body(scope) and scope["http_version"].startswith("1"):
        progress.headers["Connection"] = "close"


async def _swallow(scope: Scope, receive: Receive, progress: _Progress) -> None:
    if _has_body(scope):
        await swallow(
            receive,
            seconds=SWALLOW_SECONDS if progress.is_signed else SWALLOW_SECONDS_UNSIGNED,
            expects_continue=bool(header_values(scope, b"expect")),
        )


def _has_body(scope: Scope) -> bool:
    return any(value != "0" for value in header_values(scope, b"content-length")) or bool(
        header_values(scope, b"transfer-encoding")
    )
