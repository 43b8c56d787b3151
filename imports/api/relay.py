"""What Django sees of a gated call, and what is added to its answer: scope, receive and send, wrapped."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from imports.api.call import choose_request_id
from imports.api.head import header_values
from imports.api.receiving import Receive

Scope = dict[str, Any]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

PREFIX: Final = "/api/v1"


def is_gated(scope: Scope) -> bool:
    """True where Django would find an API view; both spellings count, since Django resolves the decoded path."""
    paths = (scope["path"], scope.get("raw_path", b"").decode("latin-1"))
    return any(path == PREFIX or path.startswith(f"{PREFIX}/") for path in paths)


def request_id_of(scope: Scope) -> str:
    given = header_values(scope, b"x-request-id")
    return choose_request_id(given[0] if len(given) == 1 else None)


def adding(send: Send, added: Mapping[str, str]) -> Send:
    """`added` goes into the answer's head as it stands when that is sent, in place of headers of the same name."""

    async def send_with_added(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = [(name.lower().encode(), value.encode()) for name, value in added.items()]
            names = {name for name, _ in own}
            headers = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in names]
            message = {**message, "headers": [*headers, *own]}
        await send(message)

    return send_with_added


def emptied(scope: Scope) -> Scope:
    """What Django sees: the same request without a body, since the SignedCall carries it."""
    left_out = (b"content-length", b"content-encoding", b"expect")
    headers = [(name, value) for name, value in scope["headers"] if name.lower() not in left_out]
    return {**scope, "headers": [*headers, (b"content-length", b"0")]}


def nothing_more(receive: Receive) -> Receive:
    """For a body that was read: an empty one, then what comes, which is that the caller goes."""
    is_first = True

    async def receive_nothing() -> Mapping[str, Any]:
        nonlocal is_first
        if is_first:
            is_first = False
            return {"type": "http.request", "body": b"", "more_body": False}
        return await receive()

    return receive_nothing


def nothing_ever() -> Receive:
    """For a body that nobody reads: an empty one, and then silence."""
    return nothing_more(_silence)


async def _silence() -> Mapping[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError  # the event is nobody's
