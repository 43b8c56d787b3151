"""Valkey as a call's checks ask it: a short wait, and after a failure a second in which nobody asks.

Then one question goes through to see whether it is back, and the others do not wait for its answer. So a Valkey that
hangs costs a process one short wait a second, whatever the load.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeVar

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

logger = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 0.5
PAUSE_SECONDS: Final = 1.0


class Away(Exception):
    """Valkey gave no answer, now or within the last second: go on without it."""


def ask(question: Callable[[Redis], T], *, purpose: str) -> T:
    """What `question` makes of Valkey, at once or not at all. Raises Away; `purpose` names the loss in the log."""
    url = settings.REDIS_URL
    pause = _pause(url)
    if not pause.lets_through():
        raise Away
    try:
        answer = question(_client(url))
    except RedisError as error:
        pause.begin()
        _client(url).connection_pool.disconnect(inuse_connections=False)  # idle ones have died with it
        logger.warning(purpose, extra={"cause": type(error).__name__})
        raise Away from error
    pause.end()
    return answer


def try_again() -> None:
    """End the pause that a failure began, for tests and for whoever knows that Valkey is back."""
    _pause.cache_clear()


@lru_cache(maxsize=4)
def _client(url: str) -> Redis:
    # No retry: a repeated SET NX would find its own first try, and a call would wait twice.
    return Redis.from_url(
        url,
        protocol=2,
        driver_info=None,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


class _Pause:
    def __init__(self) -> None:
        self._until = 0.0
        self._lock = threading.Lock()

    def begin(self) -> None:
        with self._lock:
            self._until = time.monotonic() + PAUSE_SECONDS

    def end(self) -> None:
        if self._until:
            with self._lock:
                self._until = 0.0

    def lets_through(self) -> bool:
        """True while all is well, and for one question after each pause, which is thereby prolonged for the others."""
        if not self._until:
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._until:
                return False
            self._until = now + PAUSE_SECONDS
            return True


@lru_cache(maxsize=4)
def _pause(_url: str) -> _Pause:
    return _Pause()
