"""A body of made-up CRM records, the same for the same numbers."""

import json
import random
from datetime import date, timedelta
from typing import Any

RECORDS = 130_000
# With the envelope 50.6 MB, just below the limit of 52,428,800 bytes.
RECORD_BYTES = 388
SEED = 20_260_101

_FIRST = (
    "Ada",
    "Grace",
    "Linus",
    "Margaret",
    "Edsger",
    "Barbara",
    "Alan",
    "Radia",
    "Donald",
    "Frances",
    "Zoë",
    "Jürgen",
)
_LAST = ("Lovelace", "Hopper", "Hamilton", "Dijkstra", "Liskov", "Turing", "Perlman", "Knuth", "Allen", "Søndergård")
_STREETS = ("Harbour Road", "Quay Street", "Dock Lane", "Mole View", "Lighthouse Hill", "Kanalstraße")
_CITIES = ("Hamburg", "Rotterdam", "Aberdeen", "Gdańsk", "Valparaíso", "Oakland", "Busan", "Durban")
_SEGMENTS = ("enterprise", "mid-market", "small", "public")
_DAY = date(2020, 1, 1)


def body(records: int = RECORDS, *, size: int = RECORD_BYTES) -> bytes:
    """A bulk import in JSON; `size` is the mean length of a record in bytes."""
    chance = random.Random(SEED)
    lines = [_encode(_record(chance, number, size)) for number in range(records)]
    metadata = _encode({"source": "bench", "version": "1.0.0", "timestamp": "2026-01-01T00:00:00Z"})
    return b'{"metadata":' + metadata + b',"records":[' + b",".join(lines) + b"]}"


def _record(chance: random.Random, number: int, size: int) -> dict[str, Any]:
    first, last = chance.choice(_FIRST), chance.choice(_LAST)
    record: dict[str, Any] = {
        "id": f"CRM-{number:08d}",
        "type": ("customer", "order", "product")[number % 3],
        "attributes": {
            "name": f"{first} {last}",
            "email": f"{first}.{last}.{chance.randrange(10**6)}@example.com".lower(),
            "phone": f"+49 40 {chance.randrange(10**7):07d}",
            "street": f"{chance.choice(_STREETS)} {chance.randrange(1, 200)}",
            "city": chance.choice(_CITIES),
            "balance": chance.randrange(10**7) / 100,
            "active": chance.random() < 0.9,
            "since": (_DAY + timedelta(days=chance.randrange(2000))).isoformat(),
        },
        "customFields": {
            "segment": chance.choice(_SEGMENTS),
            "owner": f"agent-{chance.randrange(500):03d}",
            "externalRef": f"{chance.getrandbits(64):016x}",
        },
    }
    missing = size - len(_encode(record)) - len(',"note":""')
    if missing > 0:
        record["customFields"]["note"] = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz     ", k=missing))
    return record


def _encode(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
