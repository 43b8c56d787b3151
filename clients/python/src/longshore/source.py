"""Open what the caller gave: a file, a pipe, bytes or records, each as a beginning and chunks."""

import gzip
import io
import itertools
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from longshore.body import CHUNK_BYTES, open_regular
from longshore.errors import FixFile
from longshore.sniff import HEAD_BYTES

Source = str | Path | bytes | BinaryIO | Iterable[Mapping[str, Any]]

_GZIP_MAGIC = b"\x1f\x8b"
_STDIN_NAMES = ("<stdin>", 0)


@dataclass(frozen=True)
class Opened:
    """`head` is the beginning, `chunks()` all of it (a pipe: once), `stamp` the file's modification time."""

    name: str
    head: bytes
    chunks: Callable[[], Iterator[bytes]]
    file: BinaryIO | None
    stamp: float | None

    @property
    def is_gzipped(self) -> bool:
        return self.head.startswith(_GZIP_MAGIC)

    def text_head(self) -> bytes:
        """The beginning, unpacked."""
        if not self.is_gzipped:
            return self.head
        try:
            return zlib.decompressobj(31).decompress(self.head, HEAD_BYTES)
        except zlib.error as err:
            raise _bad_gzip(self.name) from err

    def text_chunks(self) -> Iterator[bytes]:
        """All of it, unpacked; FixFile where it is not a whole gzip file."""
        if not self.is_gzipped:
            yield from self.chunks()
            return
        try:
            with gzip.GzipFile(fileobj=_Reader(self.chunks())) as file:
                while piece := file.read(CHUNK_BYTES):
                    yield piece
        except (OSError, EOFError, zlib.error) as err:
            raise _bad_gzip(self.name) from err

    def text_size(self) -> int | None:
        """Bytes of a file as it is unpacked; None where only reading it would tell."""
        return None if self.is_gzipped or not self.file else os.fstat(self.file.fileno()).st_size

    def close(self) -> None:
        if self.file:
            self.file.close()


def open_source(data: Source) -> Opened:
    """FixFile where a path cannot be opened. A path is text or a Path; bytes are the content itself."""
    if isinstance(data, str | Path):
        path = Path(data)
        file, is_regular = open_regular(path)
        if is_regular:
            stamp = os.fstat(file.fileno()).st_mtime
            return Opened(path.name, file.read(HEAD_BYTES), lambda: _from_start(file), file, stamp)
        return _pipe(file, path.name)
    if isinstance(data, bytes):
        return _pipe(io.BytesIO(data), "the given bytes")
    if isinstance(data, io.IOBase) or hasattr(data, "read"):
        name = getattr(data, "name", None)
        return _pipe(data, "standard input" if name in _STDIN_NAMES else "the given stream")  # type: ignore[arg-type]
    lines = _lines(data)
    first = next(lines, b"")
    return Opened("records.ndjson", first[:HEAD_BYTES], lambda: itertools.chain([first], lines), None, None)


def is_regular_file(data: Source) -> bool:
    """Whether it can be read again from its beginning."""
    return isinstance(data, str | Path) and Path(data).is_file()


def size_of(data: Source) -> int:
    """Bytes of a path's file, 0 for anything else."""
    return Path(data).stat().st_size if isinstance(data, str | Path) else 0


def reader(chunks: Iterator[bytes]) -> io.BufferedReader:
    """Chunks as a file."""
    return io.BufferedReader(_Reader(chunks), CHUNK_BYTES)


def line(value: Mapping[str, Any]) -> bytes:
    """One NDJSON line; ValueError or TypeError for what JSON cannot say (write exact decimals as text)."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _pipe(file: BinaryIO, name: str) -> Opened:
    head = b""
    while len(head) < HEAD_BYTES and (piece := file.read(HEAD_BYTES - len(head))):
        head += piece
    return Opened(name, head, lambda: itertools.chain([head], iter(lambda: file.read(CHUNK_BYTES), b"")), None, None)


def _from_start(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    return iter(lambda: file.read(CHUNK_BYTES), b"")


def _lines(records: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """NDJSON in pieces worth sending."""
    held: list[bytes] = []
    size = 0
    for record in records:
        held.append(line(record))
        size += len(held[-1])
        if size >= CHUNK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def _bad_gzip(name: str) -> FixFile:
    return FixFile("gzip_broken", f"{name} is not a whole gzip file.", hint="Pack it again, or push it unpacked.")


class _Reader(io.RawIOBase):
    """Chunks as a file, for gzip."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            self._rest = next(self._chunks, b"")
            if not self._rest:
                return 0
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
