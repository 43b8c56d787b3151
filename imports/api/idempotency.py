"""The Idempotency-Key of a call, and the turns of those that come with the same one at the same time."""

import asyncio
import re
from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from imports.api.problems import Problem

# How long a call waits for one with the same key before it is told so; the caller then asks again.
WAIT_SECONDS: Final = 5.0

_KEY: Final = re.compile(r'("?)([\x21\x23-\x7e]{1,255})\1')


def idempotency_key(values: Sequence[str]) -> str:
    """The key out of the Idempotency-Key headers, bare or quoted; "" where there is none. Raises Problem."""
    if not values:
        return ""
    match = _KEY.fullmatch(values[0].strip())
    if match is None or len(values) > 1:
        raise Problem(
            "invalid_parameter",
            "Send one Idempotency-Key of 1 to 255 visible ASCII characters, bare or in double quotes.",
        )
    return match.group(2)


class Turns:
    """One call at a time for each key in this process. Who waits holds no thread, no connection and no body.

    Across processes the advisory lock in imports.intake decides.
    """

    def __init__(self, wait_seconds: float = WAIT_SECONDS) -> None:
        self._wait_seconds = wait_seconds
        self._locks: dict[Hashable, asyncio.Lock] = {}
        self._users: dict[Hashable, int] = {}

    @asynccontextmanager
    async def of(self, key: Hashable) -> AsyncIterator[None]:
        """Raises Problem idempotency_in_flight where the turn does not come in time."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._users[key] = self._users.get(key, 0) + 1
        try:
            try:
                async with asyncio.timeout(self._wait_seconds):
                    await lock.acquire()
            except TimeoutError:
                raise Problem("idempotency_in_flight", headers={"Retry-After": "1"}) from None
            try:
                yield
            finally:
                lock.release()
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._locks[key]
