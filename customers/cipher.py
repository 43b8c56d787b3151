"""The form of everything encrypted at rest: Sealer writes it, Opener reads it, both bound to one place.

    blob = version 0x01 | data key id u32 | nonce 24 | ciphertext | tag 16           (45 bytes of overhead)
    AAD  = version | customer uuid 16 | data key id u32 | len u16, table | len u16, column | len u16, row

Integers are big-endian. The id is a u32: a customer uses some twelve keys a year, so four bytes outlast the
product and save as many in each record; the table's constraint keeps ids in range. A blob moved to another
row, column, table or customer does not open. XAES does not commit to its key, so a key is looked up by the
blob's id among the customer's own and is part of the AAD; nothing ever tries several keys.
"""

import itertools
import os
from collections.abc import Callable
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from customers.xaes import NONCE_SIZE, PREFIX_SIZE, TAG_SIZE, XaesKey

VERSION: Final = 1
MAX_DATA_KEY_ID: Final = 2**32 - 1
OVERHEAD: Final = 1 + 4 + NONCE_SIZE + TAG_SIZE

HEAD_SIZE: Final = 1 + 4 + NONCE_SIZE
"""What stands before the ciphertext. No two blobs have the same."""

_VERSION_BYTE: Final = bytes([VERSION])
_NONCE_AT: Final = 5
_SUFFIX_AT: Final = _NONCE_AT + PREFIX_SIZE
_CIPHERTEXT_AT: Final = HEAD_SIZE
_COUNTER_SIZE: Final = 6
_DERIVED_KEPT: Final = 1024


class DecryptionError(Exception):
    """A blob was refused. `code` is stable, the message names ids only; there is no plaintext to be had.

    Codes: truncated, unknown_version, unknown_key, destroyed_key, locked_key (its master key is not in
    MASTER_KEYS), not_authentic (changed, or written for another place).
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Sealer:
    """Encrypts for one column under one key. One for each batch execution: it derives once and then counts.

    Nonce = 18 random bytes | 6-byte counter: unique across executions by chance (2^-144) and inside one by
    counting. Threads may share a sealer; a forked child must not, and is refused.
    """

    __slots__ = ("_aad", "_count", "_derived", "_generation", "_head", "_suffix", "data_key_id")

    def __init__(self, key: XaesKey, *, data_key_id: int, customer_uuid: UUID, table: str, column: str) -> None:
        self.data_key_id = data_key_id
        self._aad = _place(customer_uuid, data_key_id, table, column)
        nonce = os.urandom(NONCE_SIZE - _COUNTER_SIZE)
        self._derived = key.derive(nonce[:PREFIX_SIZE])
        self._suffix = nonce[PREFIX_SIZE:]
        self._head = _VERSION_BYTE + data_key_id.to_bytes(4, "big") + nonce
        self._count = itertools.count()
        self._generation = _generation

    def seal(self, plaintext: bytes, row: bytes) -> bytes:
        """The blob for this row. `row` is the row's stable key, at most 65,535 bytes."""
        if self._generation is not _generation:
            raise RuntimeError(
                "This sealer was made before the process forked, so its nonces would repeat. Make a new one."
            )
        counter = next(self._count).to_bytes(_COUNTER_SIZE, "big")
        aad = self._aad + len(row).to_bytes(2, "big") + row
        return self._head + counter + self._derived.encrypt(self._suffix + counter, plaintext, aad)

    def __repr__(self) -> str:
        return f"Sealer(data_key_id={self.data_key_id})"

    def __reduce__(self) -> str:
        raise TypeError("A sealer is not pickled.")


class Opener:
    """Decrypts one column of one customer. Derived keys are kept by (key, prefix), so a batch derives once.

    `find_key` gives the customer's key for an id or raises DecryptionError.
    """

    __slots__ = ("_column", "_customer_uuid", "_derived", "_find_key", "_table")

    def __init__(self, find_key: Callable[[int], XaesKey], *, customer_uuid: UUID, table: str, column: str) -> None:
        self._find_key = find_key
        self._customer_uuid = customer_uuid
        self._table = table
        self._column = column
        self._derived: dict[bytes, tuple[AESGCM, bytes]] = {}

    def open(self, blob: bytes, row: bytes) -> bytes:
        """The plaintext sealed for this row; DecryptionError for everything else."""
        derived, aad = self._derived.get(blob[:_SUFFIX_AT]) or self._derive(blob)
        if len(blob) < OVERHEAD:
            raise DecryptionError("truncated", "The ciphertext is cut short.")
        try:
            return derived.decrypt(
                blob[_SUFFIX_AT:_CIPHERTEXT_AT],
                blob[_CIPHERTEXT_AT:],
                aad + len(row).to_bytes(2, "big") + row,
            )
        except InvalidTag:
            message = f"A value in {self._table}.{self._column} was changed or belongs to another row."
            raise DecryptionError("not_authentic", message) from None

    def __repr__(self) -> str:
        return f"Opener({self._table}.{self._column})"

    def __reduce__(self) -> str:
        raise TypeError("An opener is not pickled.")

    def _derive(self, blob: bytes) -> tuple[AESGCM, bytes]:
        if len(blob) < OVERHEAD:
            raise DecryptionError("truncated", "The ciphertext is cut short.")
        if blob[0] != VERSION:
            raise DecryptionError(
                "unknown_version", f"The ciphertext has form {blob[0]}, which this release cannot read."
            )
        data_key_id = int.from_bytes(blob[1:_NONCE_AT], "big")
        derived = self._find_key(data_key_id).derive(blob[_NONCE_AT:_SUFFIX_AT])
        pair = derived, _place(self._customer_uuid, data_key_id, self._table, self._column)
        if len(self._derived) >= _DERIVED_KEPT:
            self._derived.clear()
        self._derived[blob[:_SUFFIX_AT]] = pair
        return pair


def data_key_id_of(blob: bytes) -> int:
    """The id of the key a blob was sealed with, without opening it."""
    if len(blob) < OVERHEAD or blob[0] != VERSION:
        raise DecryptionError("truncated", "This is no ciphertext of a known form.")
    return int.from_bytes(blob[1:_NONCE_AT], "big")


def _place(customer_uuid: UUID, data_key_id: int, table: str, column: str) -> bytes:
    names = b"".join(len(name).to_bytes(2, "big") + name for name in (table.encode(), column.encode()))
    return _VERSION_BYTE + customer_uuid.bytes + data_key_id.to_bytes(4, "big") + names


_generation = object()


def _forked() -> None:
    global _generation
    _generation = object()


os.register_at_fork(after_in_child=_forked)
