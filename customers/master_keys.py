"""Master keys wrap data keys. They come from MASTER_KEYS (`id:base64,…`) and are never in PostgreSQL.

The first one wraps, all of them unwrap: put a new key in front to rotate, and keep the old one until nothing
is wrapped with it.
"""

import base64
import binascii
import os
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

KEY_SIZE: Final = 32
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
_NONCE_SIZE: Final = 12
_DOMAIN: Final = b"longshore data key v1"


class MasterKeyError(Exception):
    """MASTER_KEYS cannot be used: none, malformed, short, duplicate, missing or not_authentic (`code`)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class WrappedKey:
    """A data key as it stands in the database, and the id of the master key that opens it."""

    wrapped: bytes
    kek_id: str


@dataclass(frozen=True)
class MasterKeys:
    """The parsed keys by id, the wrapping one first."""

    keys: dict[str, bytes] = field(repr=False)

    @property
    def ids(self) -> list[str]:
        return list(self.keys)

    def wrap(self, key: bytes, *, customer_uuid: UUID, purpose: str, version: int) -> WrappedKey:
        """AES-256-GCM under the first master key; bound to customer, purpose, version and master key id."""
        kek_id = next(iter(self.keys))
        nonce = os.urandom(_NONCE_SIZE)
        aad = _aad(customer_uuid, purpose, version, kek_id)
        return WrappedKey(nonce + AESGCM(self.keys[kek_id]).encrypt(nonce, key, aad), kek_id)

    def unwrap(self, wrapped: WrappedKey, *, customer_uuid: UUID, purpose: str, version: int) -> bytes:
        """The data key; MasterKeyError where its master key is absent or any bound value differs."""
        kek = self.keys.get(wrapped.kek_id)
        if kek is None:
            raise MasterKeyError("missing", f"MASTER_KEYS holds no key {wrapped.kek_id!r}, which wraps a data key.")
        nonce, ciphertext = wrapped.wrapped[:_NONCE_SIZE], wrapped.wrapped[_NONCE_SIZE:]
        try:
            return AESGCM(kek).decrypt(nonce, ciphertext, _aad(customer_uuid, purpose, version, wrapped.kek_id))
        except (InvalidTag, ValueError):
            message = f"A data key does not open with master key {wrapped.kek_id!r}: was either changed?"
            raise MasterKeyError("not_authentic", message) from None


def current() -> MasterKeys:
    """The keys of this installation; MasterKeyError says what is wrong with MASTER_KEYS."""
    return parse(settings.MASTER_KEYS)


@lru_cache(maxsize=4)
def parse(text: str) -> MasterKeys:
    """`id:base64,id:base64`, 32 bytes each. The errors name ids and positions, never key material."""
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if not entries:
        raise MasterKeyError("none", "MASTER_KEYS holds no key.")
    keys: dict[str, bytes] = {}
    for position, entry in enumerate(entries, start=1):
        kek_id, separator, encoded = entry.partition(":")
        if not separator or not _ID.fullmatch(kek_id):
            raise MasterKeyError("malformed", f"Entry {position} of MASTER_KEYS is not of the form id:base64.")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raise MasterKeyError("malformed", f"Master key {kek_id!r} is not base64.") from None
        if len(key) != KEY_SIZE:
            raise MasterKeyError("short", f"Master key {kek_id!r} has {len(key)} bytes and needs {KEY_SIZE}.")
        if kek_id in keys:
            raise MasterKeyError("duplicate", f"MASTER_KEYS holds two keys with the id {kek_id!r}.")
        if key in keys.values():
            raise MasterKeyError("duplicate", f"Master key {kek_id!r} is the same key as another one.")
        keys[kek_id] = key
    return MasterKeys(keys)


def _aad(customer_uuid: UUID, purpose: str, version: int, kek_id: str) -> bytes:
    parts = (_DOMAIN, customer_uuid.bytes, purpose.encode(), version.to_bytes(4, "big"), kek_id.encode())
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)
