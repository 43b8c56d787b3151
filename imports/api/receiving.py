"""The body on its way in: read into memory and hashed, or swallowed after an early answer. Never written to a file."""

import asyncio
import base64
import hashlib
import io
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from imports.api.problems import Problem
from imports.failpoints import hit

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

SWALLOW_SECONDS: Final = 5.0
SWALLOW_SECONDS_UNSIGNED: Final = 1.0
# Time for the server to write the answer's head: reading a body before that is what sends 100 Continue to a caller who
# waits for it. (hyper polls the read side first; with one runtime thread the answer won 800 times of 800 all the same.)
_ANSWER_FIRST_SECONDS: Final = 0.1


class Disconnected(Exception):
    """The caller went away before the body was complete; there is nobody to answer."""


async def receive_body(receive: Receive, *, length: int, idle_seconds: float) -> tuple[bytes, str]:
    """(body, its SHA-256 as base64url). Raises Problem 408 after `idle_seconds` without a byte, or Disconnected.

    The buffer grows in place and is handed over without a copy, and each piece is hashed as it comes, so that next to
    nothing is left to do after the last byte.
    """
    body, digest, received = io.BytesIO(), hashlib.sha256(), 0
    more = True
    while more:
        try:
            async with asyncio.timeout(idle_seconds):
                message = await receive()
        except TimeoutError:
            raise Problem("request_timeout", f"No byte of the body came for {idle_seconds:g} seconds.") from None
        if message["type"] == "http.disconnect":
            raise Disconnected
        piece = message.get("body", b"")
        received += len(piece)
        if received > length:
            raise Problem("malformed_request", "The body is longer than its Content-Length.")
        digest.update(piece)
        body.write(piece)
        more = message.get("more_body", False)
    if received < length:
        raise Problem("malformed_request", "The body is shorter than its Content-Length.")
    hit("body_read")
    return body.getvalue(), base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()


async def swallow(receive: Receive, *, seconds: float, expects_continue: bool) -> None:
    """Reads and drops what is already under way, for at most `seconds`.

    Callers that do not read while they send would otherwise see a broken pipe in place of the answer. A caller that
    waits for 100 Continue sends nothing, sees the answer and goes.
    """
    try:
        async with asyncio.timeout(seconds):
            if expects_continue:
                await asyncio.sleep(_ANSWER_FIRST_SECONDS)
            while True:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return
