"""Records of a job -> batches, each packed for storage. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from unicodedata import normalize

import msgspec
import zstandard
from msgspec import Struct

from imports.json_document import Raws

MAX_BATCH_RECORDS: Final = 5_000
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(list[memoryview]).decode


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive records of one batch: `superseded` are offsets in it that a later record of the job replaces."""

    sequence: int
    first_index: int
    records: list[memoryview]
    superseded: list[int]


def split(records: Raws) -> Iterator[Slice]:
    """At most 5,000 records or 4 MB a batch; a single larger record is a batch of its own."""
    doubled = superseded_indexes(records)
    next_doubled = 0
    sequence = first = size = 0
    batch: list[memoryview] = []

    def close(end: int) -> Slice:
        nonlocal next_doubled
        begin = next_doubled
        while next_doubled < len(doubled) and doubled[next_doubled] < end:
            next_doubled += 1
        return Slice(sequence, first, batch, [index - first for index in doubled[begin:next_doubled]])

    for index, raw in enumerate(records):
        view = memoryview(raw)
        if batch and (len(batch) >= MAX_BATCH_RECORDS or size + len(view) > MAX_BATCH_BYTES):
            yield close(index)
            sequence, first, size, batch = sequence + 1, index, 0, []
        batch.append(view)
        size += len(view)
    if batch:
        yield close(len(records))


def pack(records: list[memoryview]) -> bytes:
    """The records framed by length (they need not be JSON at all) and compressed."""
    # A fresh compressor each: two threads in one crash the process (zstandard's are not safe to share).
    return zstandard.ZstdCompressor(level=1).compress(_encode(records))


def unpack(packed: bytes) -> list[memoryview]:
    """What `pack` was given. The records share one buffer."""
    return _decode(zstandard.ZstdDecompressor().decompress(packed))


class _Identity(Struct):
    id: Any = None
    type: Any = None


_decode_identity = msgspec.json.Decoder(_Identity).decode


def superseded_indexes(records: Raws) -> list[int]:
    """Indexes, ascending, of records whose type and id come again later in the job. Ids compare after NFC."""
    last: dict[tuple[str, str], int] = {}
    doubled: list[int] = []
    for index, raw in enumerate(records):
        try:
            found = _decode_identity(raw)
        except (ValueError, RecursionError):
            continue
        external_id, record_type = found.id, found.type
        if not isinstance(external_id, str) or not isinstance(record_type, str):
            continue
        if not external_id.isascii():
            external_id = normalize("NFC", external_id)
        identity = (record_type, external_id)
        earlier = last.get(identity)
        if earlier is not None:
            doubled.append(earlier)
        last[identity] = index
    doubled.sort()
    return doubled
