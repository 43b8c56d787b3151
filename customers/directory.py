"""Which key signed a call. Looked up once a second at most, so that a revoked key is dead within that second.

An unknown key costs what a known one with a wrong mac costs: one look-up, one decryption, one HMAC, one comparison.
"""

import hmac
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, cast
from uuid import UUID

from django.db import DatabaseError, connection
from django.db.models.functions import Now

from customers import signing
from customers.cipher import DecryptionError, Opener, Sealer
from customers.keyring import NoKeyError
from customers.models import HmacKey
from customers.quotas import Quota, QuotaName, quotas_of
from customers.signing import Token
from customers.xaes import XaesKey

logger = logging.getLogger(__name__)

CACHE_SECONDS: Final = 1.0
TOUCH_SECONDS: Final = 60.0
_CACHED_KEYS: Final = 10_000

# Never waits for a lock: whoever holds the row is changing something more important than a time of use.
_TOUCH: Final = """
    UPDATE customers_hmackey SET last_used_at = %(now)s, last_used_ip = %(address)s
    WHERE id = (
        SELECT id FROM customers_hmackey
        WHERE id = %(key_pk)s AND (last_used_at IS NULL OR last_used_at < %(before)s)
        FOR NO KEY UPDATE SKIP LOCKED
    )
"""


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """All that the gate needs of a key and its customer, as of `read_at` by the database's clock, which alone says
    whether a key has begun or ended. The secret's bytes show in no repr."""

    key_id: str
    key_pk: int
    customer_id: int
    customer_uuid: UUID
    is_customer_active: bool
    scopes: frozenset[str]
    quotas: Mapping[QuotaName, Quota]
    networks: tuple[str, ...]
    not_before: datetime
    expires_at: datetime
    revoked_at: datetime | None
    read_at: datetime
    secret: bytes = field(repr=False)

    def refusal(self, now: datetime) -> str | None:
        """None while the key is live, else why it is not: for logs, never for an answer."""
        if not self.is_customer_active:
            return "customer_inactive"
        if self.revoked_at is not None:
            return "key_revoked"
        if now < self.not_before:
            return "key_not_yet_valid"
        return "key_expired" if now >= self.expires_at else None


def find_key(key_id: str) -> KeyEntry | None:
    """The key of this public id, live or not, as it was at most a second ago; None where there is none."""
    now = time.monotonic()
    entry = _known.get(key_id, now)
    if entry is None:
        entry = _load(key_id)
        if entry is not None:  # an unknown id is not kept, so that a flood of them evicts no key
            _known.put(key_id, entry, now)  # its age counts from before the look-up
    return entry


def verify(token: Token, string: str, now: datetime | None = None) -> KeyEntry | None:
    """The key that signed `string`; None for a wrong mac, an unknown key and one that is not live, all alike.

    A failure always costs one look-up: the cache must not tell by its speed that a key exists.
    """
    kept = _known.get(token.key_id, time.monotonic())
    entry = kept or find_key(token.key_id)
    expected = signing.mac(entry.secret if entry else _DUMMY_SECRET, string)
    is_right = hmac.compare_digest(expected, token.mac)
    is_live = entry is not None and entry.refusal(now or entry.read_at) is None
    if is_right and is_live:
        return entry
    if kept is not None:
        _load(token.key_id)
    return None


def touch(key_pk: int, address: str | None, now: datetime) -> None:
    """Note that the key was used, once a minute. It waits for nobody and fails silently but for a log line."""
    if not _touched.is_due(key_pk):
        return
    before = now - timedelta(seconds=TOUCH_SECONDS)
    try:
        with connection.cursor() as cursor:
            cursor.execute(_TOUCH, {"key_pk": key_pk, "now": now, "address": address or None, "before": before})
    except DatabaseError as error:
        logger.warning("key_use_not_noted", extra={"key_pk": key_pk, "cause": type(error).__name__})


def forget(key_id: str | None = None) -> None:
    """Drop one key from this process's cache, or all: after a change here, and between tests."""
    _known.drop(key_id)
    if key_id is None:
        _touched.clear()


def _load(key_id: str) -> KeyEntry | None:
    key = HmacKey.objects.select_related("customer").annotate(read_at=Now()).filter(key_id=key_id).first()
    if key is None:
        _dummy_opener.open(_dummy_blob, _DUMMY_ROW)
        return None
    try:
        secret = signing.decode_secret(key.secret.reveal())
    except (DecryptionError, NoKeyError) as error:
        # Nobody can sign with it either way; operators must see why.
        logger.error("hmac_secret_unreadable", extra={"key_id": key_id, "cause": str(error)})
        return None
    return KeyEntry(
        key_id=key.key_id,
        key_pk=key.pk,
        customer_id=key.customer_id,
        customer_uuid=key.customer.uuid,
        is_customer_active=key.customer.is_active,
        scopes=frozenset(key.scopes),
        quotas=quotas_of(key.customer),
        networks=tuple(key.customer.allowed_networks),
        not_before=key.not_before,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        read_at=cast(Any, key).read_at,
        secret=secret,
    )


class _Recent:
    """Keys looked up within the last second, a bounded number of them."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, tuple[float, KeyEntry]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key_id: str, now: float) -> KeyEntry | None:
        kept = self._entries.get(key_id)
        return kept[1] if kept and now - kept[0] < CACHE_SECONDS else None

    def put(self, key_id: str, entry: KeyEntry, now: float) -> None:
        with self._lock:
            self._entries[key_id] = (now, entry)
            self._entries.move_to_end(key_id)
            while len(self._entries) > _CACHED_KEYS:
                self._entries.popitem(last=False)

    def drop(self, key_id: str | None) -> None:
        with self._lock:
            if key_id is None:
                self._entries.clear()
            else:
                self._entries.pop(key_id, None)


class _Touched:
    """When this process last noted the use of a key, so that a busy key costs no query a call."""

    def __init__(self) -> None:
        self._at: dict[int, float] = {}
        self._lock = threading.Lock()

    def is_due(self, key_pk: int) -> bool:
        now = time.monotonic()
        with self._lock:
            if now - self._at.get(key_pk, -TOUCH_SECONDS) < TOUCH_SECONDS:
                return False
            self._at[key_pk] = now
            return True

    def clear(self) -> None:
        with self._lock:
            self._at.clear()


_known = _Recent()
_touched = _Touched()

_DUMMY_SECRET: Final = bytes(32)
_DUMMY_ROW: Final = b"bk_nobody"
_dummy_key = XaesKey(bytes(32))
_dummy_opener = Opener(lambda _: _dummy_key, customer_uuid=UUID(int=0), table="none", column="none")
_dummy_blob = Sealer(_dummy_key, data_key_id=0, customer_uuid=UUID(int=0), table="none", column="none").seal(
    signing.new_secret().encode(), _DUMMY_ROW
)
