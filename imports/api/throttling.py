"""Limits of calls in a sliding window, counted in Valkey for all processes; without Valkey, in this process alone."""

import logging
import time
from dataclasses import dataclass
from functools import cache

from django.conf import settings
from limits import RateLimitItemPerSecond
from limits.errors import StorageError
from limits.storage import MemoryStorage, storage_from_string
from limits.strategies import MovingWindowRateLimiter

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Window:
    """At most `count` hits of one subject in any `seconds` seconds."""

    name: str
    count: int
    seconds: int

    def hit(self, subject: str) -> int:
        """0 where the hit is within the limit, else the seconds to wait. Never raises for a lost Valkey."""
        item = RateLimitItemPerSecond(self.count, self.seconds, namespace=self.name)
        try:
            return _hit(_shared(), item, subject)
        except StorageError as err:
            logger.warning("limits_counted_locally", extra={"cause": type(err).__name__})
            return _hit(_local(), item, subject)


def _hit(limiter: MovingWindowRateLimiter, item: RateLimitItemPerSecond, subject: str) -> int:
    if limiter.hit(item, subject):
        return 0
    return max(1, int(limiter.get_window_stats(item, subject).reset_time - time.time()) + 1)


@cache
def _shared() -> MovingWindowRateLimiter:
    url = settings.REDIS_URL
    if url.startswith("unix://"):
        url = f"redis+{url}"
    # A short wait: a limit is no reason to keep a caller, and the local count takes over.
    return MovingWindowRateLimiter(
        storage_from_string(url, wrap_exceptions=True, socket_timeout=1, socket_connect_timeout=1)
    )


@cache
def _local() -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(MemoryStorage())
