"""gzip bodies -> plain bytes, and how many large bodies one process opens at a time.

Peak memory of one call: the wire body (at most 50 MB, within imports.api.body_memory) and its unpacked form (at most
512 MB, grown in place: getvalue() of a BytesIO hands its buffer over without a copy), and after unpacking the latter
alone. With two slots a process holds at most two such bodies unpacked, whatever its callers send.
"""

import asyncio
import io
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from imports.api.problems import Problem

MAX_UNPACKED_BYTES: Final = 512 * 1024 * 1024
LARGE_BODY_BYTES: Final = 4 * 1024 * 1024
LARGE_BODIES_AT_A_TIME: Final = 2
SLOT_WAIT_SECONDS: Final = 10.0

# Each end of a member copies the rest of its piece, so many tiny members would cost the square of their number.
MAX_MEMBERS: Final = 10_000

_PIECE: Final = 256 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS


class Slots:
    """The places for large bodies of one process (one event loop)."""

    def __init__(self, count: int = LARGE_BODIES_AT_A_TIME, *, wait_seconds: float = SLOT_WAIT_SECONDS) -> None:
        self._free = asyncio.Semaphore(count)
        self._wait_seconds = wait_seconds

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Waits for a free place and keeps it to the end of the block. Raises Problem (503) where none gets free."""
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise Problem("unavailable", "Other large bodies are being read. Send this one again.") from None
        try:
            yield
        finally:
            self._free.release()


def is_small(body: bytes) -> bool:
    """True where the body needs no place."""
    return len(body) <= LARGE_BODY_BYTES


def unpack_small(wire: bytes) -> bytes | None:
    """The gunzipped body where it is small, else None (then: a place and unpack()). Raises Problem malformed_body."""
    return _gunzip(wire, LARGE_BODY_BYTES)


def unpack(wire: bytes, *, max_bytes: int = MAX_UNPACKED_BYTES) -> bytes:
    """The gunzipped body. Raises Problem: malformed_body or body_too_large."""
    body = _gunzip(wire, max_bytes)
    if body is None:
        raise Problem("body_too_large", f"The body may have at most {max_bytes:,} bytes when it is unpacked.")
    return body


def _gunzip(wire: bytes, max_bytes: int) -> bytes | None:
    """All members, piece by piece; None as soon as there are more than `max_bytes`."""
    unpacked = io.BytesIO()
    packed = memoryview(wire)
    member = zlib.decompressobj(_GZIP)
    members = 1
    position = 0
    pending: bytes | memoryview = b""
    try:
        while True:
            if not pending:
                if position >= len(packed):
                    break
                pending = packed[position : position + _PIECE]
                position += len(pending)
            if member.eof:
                members += 1
                if members > MAX_MEMBERS:
                    raise Problem("malformed_body", f"The gzip body may have at most {MAX_MEMBERS:,} members.")
                member = zlib.decompressobj(_GZIP)
            unpacked.write(member.decompress(pending, _PIECE))
            if unpacked.tell() > max_bytes:
                return None
            pending = member.unused_data if member.eof else member.unconsumed_tail
    except zlib.error:
        raise Problem("malformed_body", "The body is not gzip, though Content-Encoding says so.") from None
    if not member.eof:
        raise Problem("malformed_body", "The gzip body ends too early.")
    return unpacked.getvalue()
