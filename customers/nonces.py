"""Each signed call once: a nonce is remembered for as long as its signature could be valid (660 s).

Valkey answers in a fraction of a millisecond and forgets when it is flushed or dies. A call that writes is therefore
also noted in PostgreSQL, which decides; a call that only reads may pass a second time while Valkey is gone.
"""

from datetime import datetime
from typing import Final

from django.db import connection

from customers import valkey
from customers.models import SeenNonce
from customers.signing import NONCE_SECONDS

_FORGET_AT_ONCE: Final = 10_000

_INSERT: Final = """
    INSERT INTO customers_seennonce (key_id, nonce, expires_at)
    VALUES (%s, %s, clock_timestamp() + %s * interval '1 second')
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
    """Delete what has expired by the database's clock, and say how many; the sweeper calls it once a minute or so."""
    forgotten = 0
    while True:
        expired = SeenNonce.objects.filter(expires_at__lte=now).order_by("expires_at")[:_FORGET_AT_ONCE]
        count, _ = SeenNonce.objects.filter(pk__in=expired.values("pk")).delete()
        forgotten += count
        if count < _FORGET_AT_ONCE:
            return forgotten


def _is_new_in_valkey(key_id: str, nonce: str) -> bool | None:
    """None where Valkey gives no answer."""
    try:
        stored = valkey.ask(
            lambda client: client.set(f"nonce:{key_id}:{nonce}", 1, nx=True, ex=NONCE_SECONDS),
            purpose="nonces_without_valkey",
        )
    except valkey.Away:
        return None
    return bool(stored)


def _is_new_in_postgres(key_id: str, nonce: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, (key_id, nonce, NONCE_SECONDS))
        return int(cursor.rowcount) == 1
