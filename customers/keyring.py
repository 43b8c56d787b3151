"""A customer's data keys, unwrapped, for as long as a process may hold them (60 s).

Writers take `sealer(table, column)`, readers `opener(table, column)`, both bound to this customer. Writes use
the newest active version; reads find theirs by the id in the ciphertext, among this customer's keys only.
"""

import os
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID

from django.contrib.postgres.functions import TransactionNow

from customers import master_keys
from customers.blind_index import BlindIndex
from customers.cipher import DecryptionError, Opener, Sealer
from customers.models.customer import Customer
from customers.models.data_key import DataKey
from customers.xaes import XaesKey

CACHE_SECONDS: Final = 60.0
_CACHED_CUSTOMERS: Final = 1000
_RELOAD_SECONDS: Final = 1.0

Sealing = Literal["record", "secret"]


class NoKeyError(Exception):
    """The customer has no key to write with: it does not exist, was erased, or its master key is missing."""


@dataclass(frozen=True)
class _Entry:
    """One data key: usable, or the reason why it is not."""

    purpose: str
    version: int
    is_active: bool
    material: bytes | None = field(repr=False, default=None)
    refusal_code: str = ""
    refusal: str = ""


class Keyring:
    """The keys of one customer. Key bytes show in no repr, log, exception or pickle."""

    def __init__(self, customer_id: int, customer_uuid: UUID, entries: dict[int, _Entry]) -> None:
        self.customer_id = customer_id
        self.customer_uuid = customer_uuid
        self._entries = entries
        self._xaes: dict[int, XaesKey] = {}
        self._index: BlindIndex | None = None
        self._loaded_at = time.monotonic()

    @property
    def index(self) -> BlindIndex:
        """Blind index and fingerprints; raises NoKeyError where the index key is gone."""
        if self._index is None:
            self._index = BlindIndex(self._newest(DataKey.Purpose.INDEX)[1])
        return self._index

    def sealer(self, table: str, column: str, *, purpose: Sealing = "record") -> Sealer:
        """A sealer under the newest active key. Take one for each batch execution."""
        data_key_id, _ = self._newest(purpose)
        return Sealer(
            self._key(data_key_id, purpose),
            data_key_id=data_key_id,
            customer_uuid=self.customer_uuid,
            table=table,
            column=column,
        )

    def opener(self, table: str, column: str, *, purpose: Sealing = "record") -> Opener:
        """An opener for every version; keep it for a whole batch, since it remembers derived keys."""
        return Opener(
            lambda data_key_id: self._key(data_key_id, purpose),
            customer_uuid=self.customer_uuid,
            table=table,
            column=column,
        )

    def __repr__(self) -> str:
        return f"Keyring(customer_id={self.customer_id})"

    def __reduce__(self) -> str:
        raise TypeError("A key ring is not pickled.")

    def _newest(self, purpose: str) -> tuple[int, bytes]:
        active = [
            (entry.version, data_key_id, entry)
            for data_key_id, entry in self._entries.items()
            if entry.purpose == purpose and entry.is_active
        ]
        if not active:
            raise NoKeyError(f"Customer {self.customer_id} has no active {purpose} key.")
        _, data_key_id, entry = max(active, key=lambda candidate: candidate[0])
        if entry.material is None:
            raise NoKeyError(f"The {purpose} key of customer {self.customer_id} is locked: {entry.refusal}")
        return data_key_id, entry.material

    def _key(self, data_key_id: int, purpose: str) -> XaesKey:
        entry = self._entries.get(data_key_id) or self._reloaded(data_key_id)
        if entry is None or entry.purpose != purpose:
            raise DecryptionError("unknown_key", f"Customer {self.customer_id} has no {purpose} key {data_key_id}.")
        if entry.material is None:
            raise DecryptionError(entry.refusal_code, entry.refusal)
        return self._xaes.get(data_key_id) or self._xaes.setdefault(data_key_id, XaesKey(entry.material))

    def _reloaded(self, data_key_id: int) -> _Entry | None:
        """Another process may have rotated; one look a second, so that rubbish ids cost no query each."""
        if time.monotonic() - self._loaded_at < _RELOAD_SECONDS:
            return None
        self._loaded_at = time.monotonic()
        self._entries.update(_read(self.customer_id, self.customer_uuid)[0])
        return self._entries.get(data_key_id)


def keyring(customer_id: int) -> Keyring:
    """The customer's key ring, at most 60 s old. Raises NoKeyError for a customer that does not exist.

    Keys that this very transaction made are not kept: a rollback would leave writers a key that nobody can
    read again.
    """
    now = time.monotonic()
    with _lock:
        kept = _cache.get(customer_id)
        if kept and now - kept[0] < CACHE_SECONDS:
            _cache.move_to_end(customer_id)
            return kept[1]
    customer_uuid = Customer.objects.filter(pk=customer_id).values_list("uuid", flat=True).first()
    if customer_uuid is None:
        raise NoKeyError(f"There is no customer {customer_id}.")
    entries, is_committed = _read(customer_id, customer_uuid)
    loaded = Keyring(customer_id, customer_uuid, entries)
    if is_committed:
        with _lock:
            _cache[customer_id] = (now, loaded)
            while len(_cache) > _CACHED_CUSTOMERS:
                _cache.popitem(last=False)
    return loaded


def create_keys(customer: Customer) -> None:
    """Version 1 of the record, secret and index key; call it in the transaction that creates the customer."""
    masters = master_keys.current()
    rows = []
    for purpose in DataKey.Purpose.values:
        wrapped = masters.wrap(os.urandom(32), customer_uuid=customer.uuid, purpose=purpose, version=1)
        rows.append(
            DataKey(customer=customer, purpose=purpose, version=1, wrapped=wrapped.wrapped, kek_id=wrapped.kek_id)
        )
    DataKey.objects.bulk_create(rows)


def forget(customer_id: int | None = None) -> None:
    """Drop the cached keys of one customer, or of all: after a rotation or an erasure, and between tests."""
    with _lock:
        if customer_id is None:
            _cache.clear()
        else:
            _cache.pop(customer_id, None)


def _read(customer_id: int, customer_uuid: UUID) -> tuple[dict[int, _Entry], bool]:
    """The customer's entries by data key id, and whether none of them is of this very transaction."""
    rows = DataKey.objects.filter(customer_id=customer_id)
    is_committed = not rows.filter(created_at=TransactionNow()).exists()
    return {row.pk: _entry(row, customer_uuid) for row in rows}, is_committed


def _entry(row: DataKey, customer_uuid: UUID) -> _Entry:
    is_active = row.state == DataKey.State.ACTIVE
    if row.wrapped is None:
        message = f"Data key {row.pk} is destroyed."
        return _Entry(row.purpose, row.version, is_active=False, refusal_code="destroyed_key", refusal=message)
    wrapped = master_keys.WrappedKey(bytes(row.wrapped), row.kek_id)
    try:
        material = master_keys.current().unwrap(
            wrapped, customer_uuid=customer_uuid, purpose=row.purpose, version=row.version
        )
    except master_keys.MasterKeyError as error:
        message = f"Data key {row.pk} cannot be unwrapped: {error}"
        return _Entry(row.purpose, row.version, is_active, refusal_code="locked_key", refusal=message)
    return _Entry(row.purpose, row.version, is_active, material=material)


_cache: OrderedDict[int, tuple[float, Keyring]] = OrderedDict()
_lock = threading.Lock()
