"""Bytes to send: measured and hashed once, read again for every attempt."""

import hashlib
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from longshore import signing
from longshore.errors import FixFile

WIRE_LIMIT = 52_428_800
UNPACKED_LIMIT = 536_870_912
CHUNK_BYTES = 256 * 1024

Phase = Literal["reading", "packing", "sending"]
OnBytes = Callable[[Phase, int, int | None], None]
"""Called with the phase, the bytes done and the total (None where it is not known)."""


class Body(Protocol):
    """What a signed request sends. `chunks()` gives the same bytes every time it is called."""

    @property
    def size(self) -> int: ...
    @property
    def sha256(self) -> str: ...
    @property
    def is_gzipped(self) -> bool: ...
    def chunks(self) -> Iterator[bytes]: ...


class MemoryBody:
    """A body held in memory; never more than the limit on the wire."""

    def __init__(self, parts: Iterable[bytes], *, is_gzipped: bool = False) -> None:
        self._parts = list(parts)
        self.is_gzipped = is_gzipped
        self.size = sum(map(len, self._parts))
        digest = hashlib.sha256()
        for part in self._parts:
            digest.update(part)
        self.sha256 = signing.encode(digest.digest())

    def chunks(self) -> Iterator[bytes]:
        for part in self._parts:
            for start in range(0, len(part), CHUNK_BYTES):
                yield part[start : start + CHUNK_BYTES]


class FileBody:
    """A regular file sent from disk, with `prefix` before it and its first `skip` bytes left out.

    Hashed when made. Each sending hashes again and holds the last piece back until both agree, so that a
    file that changed in between never becomes a complete request; FixFile says so.
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        *,
        prefix: bytes = b"",
        skip: int = 0,
        is_gzipped: bool = False,
        on_bytes: OnBytes | None = None,
    ) -> None:
        self._file = file
        self._name = name
        self._prefix = prefix
        self._skip = skip
        self.is_gzipped = is_gzipped
        file_size = os.fstat(file.fileno()).st_size - skip
        self.size = len(prefix) + file_size
        digest = hashlib.sha256(prefix)
        done = 0
        for piece in self._pieces():
            digest.update(piece)
            done += len(piece)
            if on_bytes:
                on_bytes("reading", done, file_size)
        self._digest = digest.digest()
        self.sha256 = signing.encode(self._digest)
        if done != file_size:
            raise self._changed()

    def chunks(self) -> Iterator[bytes]:
        digest = hashlib.sha256(self._prefix)
        held, sent = self._prefix, 0
        for piece in self._pieces():
            digest.update(piece)
            sent += len(held)
            if sent + len(piece) > self.size:
                raise self._changed()
            if held:
                yield held
            held = piece
        if sent + len(held) != self.size or digest.digest() != self._digest:
            raise self._changed()
        yield held

    def _pieces(self) -> Iterator[bytes]:
        self._file.seek(self._skip)
        while piece := self._file.read(CHUNK_BYTES):
            yield piece

    def _changed(self) -> FixFile:
        return FixFile(
            "file_changed",
            f"{self._name} changed while it was being read or sent; nothing of it was accepted.",
            hint="Wait until it is written completely, or push a copy of it.",
        )


def pack(chunks: Iterable[bytes], name: str, *, on_bytes: OnBytes | None = None) -> MemoryBody:
    """gzip into memory, the same bytes for the same input; FixFile when even that is over the limit."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    parts: list[bytes] = []
    size = unpacked = 0
    for chunk in chunks:
        unpacked += len(chunk)
        if unpacked > UNPACKED_LIMIT:
            raise too_large(name)
        if part := packer.compress(chunk):
            parts.append(part)
            size += len(part)
        if size > WIRE_LIMIT:
            raise too_large(name)
        if on_bytes:
            on_bytes("packing", unpacked, None)
    parts.append(packer.flush())
    if size + len(parts[-1]) > WIRE_LIMIT:
        raise too_large(name)
    return MemoryBody(parts, is_gzipped=True)


def too_large(name: str) -> FixFile:
    return FixFile(
        "too_large",
        f"{name} is too large for one import: at most 50 MB on the wire, gzip included, and 512 MB unpacked.",
        hint="push sends a file from disk in parts; anything else has to be split.",
    )


def open_regular(path: Path) -> tuple[BinaryIO, bool]:
    """The open file, and whether it is a regular one (a pipe can be read only once)."""
    try:
        file = path.open("rb")
    except IsADirectoryError as err:
        raise FixFile("file_unreadable", f"{path} is a directory.", hint="Name one file.") from err
    except FileNotFoundError as err:
        raise FixFile("file_missing", f"There is no file {path}.", hint="Check the path.") from err
    except OSError as err:
        raise FixFile("file_unreadable", f"{path} cannot be read: {err.strerror}.") from err
    return file, stat.S_ISREG(os.fstat(file.fileno()).st_mode)
