"""How much memory the bodies under way may take in one web process, from before their first byte to their answer.

A body takes the length that it announces, so that those which come slowly never meet with more than there is. Small
ones have room of their own, and no customer gets more than half of either, so nobody's uploads keep others out.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from imports.api.problems import Problem

WAIT_SECONDS: Final = 10.0
# What a command may have: whoever asks, cancels or retries stands in no line behind uploads.
SMALL_BODY_BYTES: Final = 2**20
_FOR_SMALL_BODIES: Final = 0.25


@dataclass(eq=False, slots=True)
class _Place:
    customer_id: int
    size: int
    granted: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def is_granted(self) -> bool:
        return self.granted.done() and not self.granted.cancelled()


class Room:
    """So many bytes for the bodies of one event loop, half of them at most for one customer's."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._share = size // 2
        self._held: Counter[int] = Counter()
        self._waiting: list[_Place] = []

    @asynccontextmanager
    async def place(self, customer_id: int, size: int) -> AsyncIterator[None]:
        """Waits for `size` bytes and keeps them to the end of the block. Raises Problem (503) where they do not come.

        The first one in line gets them first, apart from customers who wait for their own. One body of a customer
        always fits its half.
        """
        place = _Place(customer_id, size)
        self._waiting.append(place)
        self._hand_out()
        try:
            await _wait(place)
            yield
        finally:
            self._give_back(place)

    def _hand_out(self) -> None:
        for place in list(self._waiting):
            held = self._held[place.customer_id]
            if held and held + place.size > self._share:
                continue
            if place.size > self._free:
                return
            self._free -= place.size
            self._held[place.customer_id] += place.size
            self._waiting.remove(place)
            place.granted.set_result(None)

    def _give_back(self, place: _Place) -> None:
        if place.is_granted:
            self._free += place.size
            self._held[place.customer_id] -= place.size
            self._held += Counter()  # drops those at 0
        else:
            self._waiting.remove(place)
        self._hand_out()


class BodyMemory:
    """The memory for bodies of one web process."""

    def __init__(self, megabytes: int) -> None:
        total = megabytes * 2**20
        small = int(total * _FOR_SMALL_BODIES)
        self._small, self._large = Room(small), Room(total - small)

    def place(self, customer_id: int, size: int) -> AbstractAsyncContextManager[None]:
        """Room for a body of `size` bytes on the wire; see Room.place."""
        return (self._small if size <= SMALL_BODY_BYTES else self._large).place(customer_id, size)


async def _wait(place: _Place) -> None:
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await place.granted
    except TimeoutError:
        raise Problem("unavailable", "Too many bodies are under way. Send this one again.") from None
