"""Records of a job -> batches, each packed for storage. Pure.

Written for speed: no object that the garbage collector tracks is made for a record, since it walked the 130,000 of a
body again and again (measured: splitting took three times as long).
"""

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Annotated, Final, Literal
from unicodedata import normalize

import msgspec
import zstandard
from msgspec import Meta, Raw, Struct

from imports.checking import MAX_ID_LENGTH, identity
from imports.json_document import Raws

MAX_BATCH_RECORDS: Final = 5_000
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive records of one batch: `superseded` are offsets in it that a later record of the job replaces."""

    sequence: int
    first_index: int
    records: Raws
    superseded: list[int]


def split(records: Raws) -> Iterator[Slice]:
    """At most 5,000 records or 4 MB a batch; a single larger record is a batch of its own."""
    doubled = superseded_indexes(records)
    ends = list(accumulate(_lengths(records)))
    begin = sequence = 0
    while begin < len(records):
        most = (ends[begin - 1] if begin else 0) + MAX_BATCH_BYTES
        end = max(begin + 1, min(begin + MAX_BATCH_RECORDS, bisect_right(ends, most)))
        superseded = doubled[bisect_left(doubled, begin) : bisect_left(doubled, end)]
        yield Slice(sequence, begin, records[begin:end], [index - begin for index in superseded])
        begin, sequence = end, sequence + 1


def pack(records: Sequence[bytes | Raw | memoryview]) -> bytes:
    """How many, how long each, then all of them (they need not be JSON at all); compressed."""
    lengths = _lengths(records)
    head = struct.pack(f"<{len(lengths) + 1}I", len(lengths), *lengths)
    # A fresh compressor each: two threads in one crash the process (zstandard's are not safe to share).
    return zstandard.ZstdCompressor(level=1).compress(b"".join([head, *records]))


def unpack(packed: bytes) -> list[bytes]:
    """What `pack` was given."""
    data = zstandard.ZstdDecompressor().decompress(packed)
    (count,) = struct.unpack_from("<I", data)
    head = 4 * (count + 1)
    places = accumulate(struct.unpack_from(f"<{count}I", data, 4), initial=head)
    return [data[begin:end] for begin, end in pairwise(places)]


class _Identity(Struct, gc=False):
    id: Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]
    type: Literal["customer", "order", "product"]


_decode_identity = msgspec.json.Decoder(_Identity).decode


def superseded_indexes(records: Raws) -> list[int]:
    """Indexes, ascending, of records whose type and id come again later in the job. Ids compare after NFC.

    Records without a usable id or a known type are none of them: they fail, each for itself.
    """
    names: list[str] = []
    for index, raw in enumerate(records):
        try:
            found = _decode_identity(raw)
        except (ValueError, RecursionError):
            external_id, record_type = identity(memoryview(raw))  # reads more, and takes its time
            if external_id is None or not record_type:
                names.append(f"#{index}")
                continue
        else:
            external_id, record_type = found.id, found.type
        names.append(f"{record_type}|{external_id if external_id.isascii() else normalize('NFC', external_id)}")
    last = {name: index for index, name in enumerate(names)}
    if len(last) == len(names):
        return []
    return [index for index, name in enumerate(names) if last[name] != index]


def _lengths(records: Sequence[bytes | Raw | memoryview]) -> list[int]:
    return [len(memoryview(record)) for record in records]
