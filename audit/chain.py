"""The hash chain, in plain Python: what an event says, its one encoding, and the hash that ties it to the one
before.

    hash = SHA-256("longshore audit v1\\n" + previous hash + field + field + …)

The fields stand in the order of Entry after the sequence, and each is either the byte 00 (null) or the byte
01, the length of its value as four bytes (big endian) and the value:

    sequence, customer_id, record_count    a signed 64-bit integer, big endian
    at                                     microseconds since 1970-01-01T00:00:00Z as such an integer
    source_ip                              4 or 16 address bytes
    detail                                 JSON with sorted keys, without white space, in UTF-8
    all others                             UTF-8

Since every length is written down and every value has one spelling, two different events never encode
equally.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from audit.detail import DetailValue

DOMAIN = b"longshore audit v1\n"
GENESIS = bytes(32)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened. Its place in the chain is given when it is written."""

    at: datetime
    actor_kind: str
    actor_id: str
    action: str
    target: str
    customer_id: int | None
    record_count: int | None
    source_ip: str | None
    request_id: str
    detail: Mapping[str, DetailValue]


def link(entry: Entry, *, sequence: int, previous_hash: bytes) -> bytes:
    """The 32-byte hash of the event at `sequence`. Raises ValueError or OverflowError for values no event can
    hold.
    """
    return hashlib.sha256(DOMAIN + previous_hash + encode(entry, sequence=sequence)).digest()


def encode(entry: Entry, *, sequence: int) -> bytes:
    """The one encoding of an event, as this module's first lines define it."""
    return b"".join(
        (
            _field(_integer(sequence)),
            _field(_integer((entry.at - _EPOCH) // _MICROSECOND)),
            _field(entry.actor_kind.encode()),
            _field(entry.actor_id.encode()),
            _field(entry.action.encode()),
            _field(entry.target.encode()),
            _field(_integer(entry.customer_id)),
            _field(_integer(entry.record_count)),
            _field(None if entry.source_ip is None else ip_address(entry.source_ip).packed),
            _field(entry.request_id.encode()),
            _field(_json(entry.detail)),
        )
    )


def _field(value: bytes | None) -> bytes:
    return b"\x00" if value is None else b"\x01" + len(value).to_bytes(4, "big") + value


def _integer(value: int | None) -> bytes | None:
    return None if value is None else value.to_bytes(8, "big", signed=True)


def _json(detail: Mapping[str, DetailValue]) -> bytes:
    return json.dumps(detail, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True).encode()
