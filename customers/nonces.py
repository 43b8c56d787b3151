"""Each signed call once: a nonce is remembered for as long as its signature could be valid (660 s).

Valkey answers in a fraction of a millisecond and forgets when it is flushed or dies. A call that writes is therefore
also noted in PostgreSQL, which decides; a call that only reads may pass a second time while Valkey is gone.
"""

import logging
import threading
import time
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from django.conf import settings
from django.db import connection
from django.utils import timezone
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from customers.models import SeenNonce
from customers.signing import NONCE_SECONDS

logger = logging.getLogger(__name__)

_VALKEY_TIMEOUT_SECONDS: Final = 0.5
_VALKEY_PAUSE_SECONDS: Final = 1.0
_FORGET_AT_ONCE: Final = 10_000

_INSERT: Final = """
    INSERT INTO customers_seennonce (key_id, nonce, expires_at) VALUES (%s, %s, %s)
    ON CONFLICT ON CONSTRAINT seen_nonce_unique DO NOTHING
"""


def remember(key_id: str, nonce: str, writes: bool) -> bool:
    """True the first time within 660 s, False for a replay. Call it outside a transaction, with a verified signature.

    `writes` says whether the call may change something: then the answer holds across a loss of Valkey, and PostgreSQL
    being away raises django.db.OperationalError. Valkey being away raises nothing.
    """
    if _is_new_in_valkey(key_id, nonce) is False:
        return False
    return not writes or _is_new_in_postgres(key_id, nonce)


def forget_expired(now: datetime) -> int:
    """Delete what has expired, and say how many; the sweeper calls it once a minute or so."""
    forgotten = 0
    while True:
        expired = SeenNonce.objects.filter(expires_at__lte=now).order_by("expires_at")[:_FORGET_AT_ONCE]
        count, _ = SeenNonce.objects.filter(pk__in=expired.values("pk")).delete()
        forgotten += count
        if count < _FORGET_AT_ONCE:
            return forgotten


def try_valkey_again() -> None:
    """End the pause that a failure began, for tests and for whoever knows that Valkey is back."""
    _pause.end()


def _is_new_in_valkey(key_id: str, nonce: str) -> bool | None:
    """None where Valkey gives no answer; then it is left alone for a second, so that a hung one costs little."""
    if _pause.is_on():
        return None
    try:
        # No retry: a repeated SET NX would find its own first try and call the caller's only request a replay.
        stored = _valkey(settings.REDIS_URL).set(f"nonce:{key_id}:{nonce}", 1, nx=True, ex=NONCE_SECONDS)
    except RedisError as error:
        _pause.begin()
        logger.warning("nonces_without_valkey", extra={"cause": type(error).__name__})
        return None
    return bool(stored)


def _is_new_in_postgres(key_id: str, nonce: str) -> bool:
    expires_at = timezone.now() + timedelta(seconds=NONCE_SECONDS)
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, (key_id, nonce, expires_at))
        return int(cursor.rowcount) == 1


@lru_cache(maxsize=4)
def _valkey(url: str) -> Redis:
    return Redis.from_url(
        url,
        socket_timeout=_VALKEY_TIMEOUT_SECONDS,
        socket_connect_timeout=_VALKEY_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


class _Pause:
    """Says for a second after a failure that there is no use in asking."""

    def __init__(self) -> None:
        self._until = 0.0
        self._lock = threading.Lock()

    def begin(self) -> None:
        with self._lock:
            self._until = time.monotonic() + _VALKEY_PAUSE_SECONDS

    def end(self) -> None:
        with self._lock:
            self._until = 0.0

    def is_on(self) -> bool:
        return time.monotonic() < self._until


_pause = _Pause()
