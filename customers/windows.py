"""Calls in a moving window: at most so many in any so many seconds, counted in Valkey for all processes.

Without Valkey each process counts alone, and lets through its share of the limit rather than the whole of it.
"""

import math
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Final, TypeVar

from django.conf import settings
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis import Redis

from customers import valkey

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Use:
    """How full a window is. `reset_seconds`: until its oldest call leaves it, the whole window where there is none."""

    is_within: bool
    remaining: int
    reset_seconds: int


@dataclass(frozen=True, slots=True)
class Window:
    """At most `count` hits of one subject in any `seconds` seconds. Never raises for a lost Valkey."""

    name: str
    count: int
    seconds: int

    def hit(self, subject: str) -> Use:
        """Counts a hit, or says that it would be one too many; then it is not counted."""
        return self._use(subject, counts=True)

    def look(self, subject: str) -> Use:
        """The same without counting."""
        return self._use(subject, counts=False)

    def clear(self, subject: str) -> None:
        """Forgets the subject's hits, here and in Valkey."""
        _local().clear(_Item(self.count, self.seconds, self.name), subject)
        try:
            valkey.ask(lambda client: _shared(client).clear(self._item(), subject), purpose="limits_not_cleared")
        except valkey.Away:
            return

    def _use(self, subject: str, *, counts: bool) -> Use:
        try:
            return valkey.ask(
                lambda client: _measure(_shared(client), self._item(), subject, counts=counts),
                purpose="limits_counted_locally",
            )
        except valkey.Away:
            share = _Item(max(1, self.count // settings.WEB), self.seconds, self.name)
            with _LOCAL_LOCK:
                return _measure(_local(), share, subject, counts=counts)

    def _item(self) -> "_Item":
        return _Item(self.count, self.seconds, self.name)


class _Item(RateLimitItemPerSecond):
    """Kept under one name whatever the amount, so that a changed limit goes on with the same count."""

    def key_for(self, *identifiers: bytes | str | int | float) -> str:
        return "/".join([self.namespace, *map(str, identifiers)])


def _measure(limiter: MovingWindowRateLimiter, item: _Item, subject: str, *, counts: bool) -> Use:
    is_within = limiter.hit(item, subject) if counts else True
    stats = limiter.get_window_stats(item, subject)
    remaining = max(0, stats.remaining)
    # Shorter than a window, whatever the clocks: a list of this very second begins a hair's breadth in the future.
    reset = min(max(1, math.ceil(stats.reset_time - time.time())), item.get_expiry())
    return Use(is_within if counts else remaining > 0, remaining, reset)


_LOCAL_LOCK: Final = threading.Lock()


@cache
def _shared(client: Redis) -> MovingWindowRateLimiter:
    # The address is for its scheme alone: the connections, and with them the time limits, are the client's.
    return MovingWindowRateLimiter(_ByValkeysClock("redis://", connection_pool=client.connection_pool))


class _ByValkeysClock(RedisStorage):
    """A moving window that Valkey's own clock moves. The library sends its host's time along: then a host whose clock
    is minutes ahead finds every call of the others too old to count, and lets a second quota through.
    """

    _NOW: ClassVar = b"local time = redis.call('TIME') local now = time[1] + time[2] / 1000000 "
    # In place of the host's time, which stands first among the arguments; of a reading only the window's length does.
    SCRIPT_ACQUIRE_MOVING_WINDOW = _NOW + b"ARGV[1] = now\n" + RedisStorage.SCRIPT_ACQUIRE_MOVING_WINDOW
    SCRIPT_MOVING_WINDOW = (
        _NOW
        + b"ARGV[1] = now - ARGV[1] local function window()\n"
        + RedisStorage.SCRIPT_MOVING_WINDOW
        + b"\nend local found = window() if found then found[1] = tostring(now - found[1]) end return found"
    )

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """When the oldest call in the window came, in the time of this host, and how many there are."""
        now = time.time()
        found = self.lua_moving_window([self.prefixed_key(key)], [expiry, limit])
        return (now - float(found[0]), int(found[1])) if found else (now, 0)


@cache
def _local() -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(MemoryStorage())
