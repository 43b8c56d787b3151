"""A large file as parts, each a body by itself, cut between records; one part is in memory at a time.

The same file and size give the same parts every time, so that an interrupted push can be told from another file.
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass

from longshore.body import WIRE_LIMIT, MemoryBody, pack
from longshore.document import events
from longshore.errors import FixFile
from longshore.payload import Look
from longshore.source import Opened, reader

_MOST_CELL_CHARACTERS = 16 * 1024 * 1024
_FRAME = b'{"records":[]}'


@dataclass(frozen=True)
class Part:
    """`number` from 1; `source_bytes` is how much of the file it stands for, for the progress."""

    number: int
    records: int
    source_bytes: int
    body: MemoryBody


def metadata_of(opened: Opened, look: Look) -> bytes:
    """The metadata as JSON; FixFile where a JSON file has none, wherever in it that would stand."""
    if look.format == "json":
        for kind, raw in events(_text(opened, look), opened.name):
            if kind == "metadata":
                return raw
    if look.has_metadata_line:
        first = next(line for line in _lines(_text(opened, look)) if line.strip())
        return json.dumps(json.loads(first)["metadata"], ensure_ascii=False).encode()
    return json.dumps(look.metadata, ensure_ascii=False).encode()


def split(opened: Opened, look: Look, *, part_bytes: int, gzip: bool) -> Iterator[Part]:
    """Parts of about `part_bytes` before packing. FixFile where the file breaks off or a record is too large."""
    frame, joint = b"", b""
    items: Iterator[tuple[bytes, int]]
    if look.format == "json":
        frame, joint = _FRAME, b","
        items = ((raw, 1) for kind, raw in events(_text(opened, look), opened.name) if kind == "record")
    elif look.format == "ndjson":
        items = _records_of_lines(_lines(_text(opened, look)), skips_metadata=look.has_metadata_line)
    else:
        rows = _rows(opened)
        frame, items = next(rows)[0], rows
        frame = frame if frame.endswith((b"\n", b"\r")) else frame + b"\r\n"
    most = min(part_bytes, WIRE_LIMIT) - len(frame) - 1
    for number, (held, records) in enumerate(_grouped(items, most, len(joint), opened.name), start=1):
        begin, end = (frame[:-2], frame[-2:]) if look.format == "json" else (frame, b"")
        content = [begin, joint.join(held), end]
        body = pack(content, opened.name) if gzip else MemoryBody([b"".join(content)])
        yield Part(number, records, sum(map(len, held)), body)


def _grouped(items: Iterator[tuple[bytes, int]], most: int, joint: int, name: str) -> Iterator[tuple[list[bytes], int]]:
    held: list[bytes] = []
    size = records = 0
    for item, count in items:
        if len(item) > WIRE_LIMIT // 2:
            raise FixFile("record_too_large", f"{name} holds a record that is larger than any import takes.")
        if records and size + len(item) > most:
            yield held, records
            held, size, records = [], 0, 0
        held.append(item)
        size += len(item) + joint
        records += count
    if records:
        yield held, records


def _text(opened: Opened, look: Look) -> Iterator[bytes]:
    skip = look.skip
    for chunk in opened.text_chunks():
        yield chunk[skip:]
        skip = max(0, skip - len(chunk))


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest: list[bytes] = []
    for chunk in chunks:
        *lines, last = chunk.split(b"\n")
        if lines:
            yield b"".join([*rest, lines[0], b"\n"])
            for line in lines[1:]:
                yield line + b"\n"
            rest = []
        rest.append(last)
    if any(rest):
        yield b"".join(rest)


def _records_of_lines(lines: Iterator[bytes], *, skips_metadata: bool) -> Iterator[tuple[bytes, int]]:
    for line in lines:
        if not line.strip(b" \t\r\n"):
            continue
        if skips_metadata:
            skips_metadata = False
            continue
        yield line, 1


def _rows(opened: Opened) -> Iterator[tuple[bytes, int]]:
    """The head line, then each row as it stands, read by the reader that the server has; blank ones count nothing."""
    csv.field_size_limit(max(csv.field_size_limit(), _MOST_CELL_CHARACTERS))
    text = io.TextIOWrapper(reader(opened.text_chunks()), encoding="utf-8-sig", newline="")
    taken: list[str] = []

    def noted() -> Iterator[str]:
        for line in text:
            taken.append(line)
            yield line

    try:
        for row in csv.reader(noted(), strict=True):
            yield "".join(taken).encode(), 1 if row else 0
            taken.clear()
    except UnicodeDecodeError as err:
        raise FixFile("not_utf8", f"{opened.name} is not UTF-8 text.", hint="Save it as UTF-8.") from err
    except csv.Error as err:
        raise FixFile("csv_broken", f"{opened.name} cannot be read: {err}.", hint="Check its quotes.") from err
