"""A customer's data keys, unwrapped, for as long as a process may hold them (60 s).

Writers take `sealer(table, column)`, readers `opener(table, column)`, both bound to this customer. Writes use
the newest active version; reads find theirs by the id in the ciphertext, among this customer's keys only.
"""

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID

from django.contrib.postgres.functions import TransactionNow
from django.db import connection

from customers import master_keys
from customers.blind_index import BlindIndex
from customers.cipher import DecryptionError, Opener, Sealer
from customers.models.customer import Customer
from customers.models.data_key import DataKey
from customers.xaes import XaesKey

CACHE_SECONDS: Final = 60.0
_CACHED_CUSTOMERS: Final = 1000
_FRUITLESS_LOOKS_A_SECOND: Final = 10

# What a foreign key would do, once a transaction and not once a row: destroying takes the lock that fights this one.
_HOLD: Final = """
    SELECT id FROM customers_datakey WHERE id = ANY(%s) AND state <> 'destroyed' ORDER BY id FOR KEY SHARE
"""

Sealing = Literal["record", "secret"]


class NoKeyError(Exception):
    """The customer has no key to write with: it does not exist, was erased, or its master key is missing."""


class ErasedError(DecryptionError, NoKeyError):
    """The customer was erased: its keys are destroyed, and with them all that was encrypted. Nothing brings it back."""

    def __init__(self, customer_id: int) -> None:
        super().__init__("destroyed_key", f"Customer {customer_id} was erased, and its data with it.")


class KeyGoneError(NoKeyError):
    """A ciphertext was made under a key that has been destroyed since. Seal again and it will do."""


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
        self._looked_at = 0.0
        self._fruitless_looks = 0

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
            if self._is_erased:
                raise ErasedError(self.customer_id)
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
            if self._is_erased:
                raise ErasedError(self.customer_id)
            raise DecryptionError(entry.refusal_code, entry.refusal)
        return self._xaes.get(data_key_id) or self._xaes.setdefault(data_key_id, XaesKey(entry.material))

    def _reloaded(self, data_key_id: int) -> _Entry | None:
        """Another process may have rotated this very moment. Looks in vain are limited, so rubbish costs little."""
        now = time.monotonic()
        if now - self._looked_at >= 1.0:
            self._looked_at, self._fruitless_looks = now, 0
        if self._fruitless_looks >= _FRUITLESS_LOOKS_A_SECOND:
            return None
        self._entries.update(_read(self.customer_id, self.customer_uuid)[0])
        found = self._entries.get(data_key_id)
        self._fruitless_looks += found is None
        return found

    @property
    def _is_erased(self) -> bool:
        return bool(self._entries) and all(entry.refusal_code == "destroyed_key" for entry in self._entries.values())


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
    loaded, is_committed = _load(customer_id)
    if is_committed:
        with _lock:
            _cache[customer_id] = (now, loaded)
            while len(_cache) > _CACHED_CUSTOMERS:
                _cache.popitem(last=False)
    return loaded


def fresh(customer_id: int) -> Keyring:
    """The customer's keys as they are now, whatever this process remembers. NoKeyError as keyring()."""
    return _load(customer_id)[0]


def hold(customer_id: int, data_key_ids: Iterable[int]) -> None:
    """No key among these is destroyed before the surrounding transaction ends; KeyGoneError where one is already.

    Call it in every transaction that writes ciphertext. A ring is up to 60 s old and a process may stand still for
    longer: without this, what it then wrote could be under a key that is gone.
    """
    wanted = set(data_key_ids)
    with connection.cursor() as cursor:
        cursor.execute(_HOLD, [sorted(wanted)])
        missing = wanted - {data_key_id for (data_key_id,) in cursor.fetchall()}
    if missing:
        forget(customer_id)
        raise KeyGoneError(f"Data keys {sorted(missing)} of customer {customer_id} are destroyed.")


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


def _load(customer_id: int) -> tuple[Keyring, bool]:
    customer_uuid = Customer.objects.filter(pk=customer_id).values_list("uuid", flat=True).first()
    if customer_uuid is None:
        raise NoKeyError(f"There is no customer {customer_id}.")
    entries, is_committed = _read(customer_id, customer_uuid)
    return Keyring(customer_id, customer_uuid, entries), is_committed


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
