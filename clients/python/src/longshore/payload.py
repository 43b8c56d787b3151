"""From what the caller has (a file, a pipe, bytes, records) to a body, its media type and its query.

Nothing is ever written to a temporary file: the records are personal data.
"""

import io
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypedDict, get_args

from longshore import sniff
from longshore.body import UNPACKED_LIMIT, WIRE_LIMIT, Body, FileBody, MemoryBody, OnBytes, pack, too_large
from longshore.errors import FixFile
from longshore.source import Opened, Source, line, open_source

Format = Literal["json", "ndjson", "csv"]
FORMATS: tuple[Format, ...] = get_args(Format)

MEDIA_TYPES: Mapping[Format, str] = {
    "json": "application/vnd.bigcorp.v1+json",
    "ndjson": "application/vnd.bigcorp.v1+ndjson",
    "csv": "text/csv",
}
METADATA_VERSION = "1.0.0"
MAX_SOURCE_LENGTH = 100

_SUFFIXES: Mapping[str, Format] = {
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".jsonlines": "ndjson",
    ".csv": "csv",
}


class Reading(TypedDict, total=False):
    """How to read what is given; each may be left out.

    `format` where the name does not say it. `type` for CSV without such a column. `source` and `timestamp`
    for the metadata that CSV and NDJSON files may lack; they default to the file's name and its own time, so
    that the same file is the same body every time it is pushed. `gzip` is None for: only where it is needed.
    """

    format: Format | None
    type: str | None
    source: str | None
    timestamp: str | None
    gzip: bool | None


@dataclass(frozen=True)
class Options:
    """A complete Reading."""

    format: Format | None = None
    type: str | None = None
    source: str | None = None
    timestamp: str | None = None
    gzip: bool | None = None


@dataclass(frozen=True)
class Payload:
    """Ready to be signed and sent, as often as needed. A context manager: it may hold a file open."""

    name: str
    content_type: str
    query: tuple[tuple[str, str], ...]
    body: Body
    _close: Callable[[], None]

    def __enter__(self) -> "Payload":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()


def prepare(data: Source, options: Options, *, on_bytes: OnBytes | None = None) -> Payload:
    """Open, look at the beginning, decide, hash. FixFile where the source cannot be what it should be."""
    opened = open_source(data)
    try:
        return _prepare(opened, options, on_bytes)
    except BaseException:
        opened.close()
        raise


@dataclass(frozen=True)
class Look:
    """What the beginning of a source tells: `skip` bytes of byte order mark, and metadata for what has none itself."""

    format: Format
    skip: int
    metadata: Mapping[str, str]
    has_metadata_line: bool


def look_at(opened: Opened, options: Options) -> Look:
    """FixFile for what cannot be right, before anything is hashed or sent."""
    if not opened.head:
        raise FixFile("file_empty", f"{opened.name} is empty.", hint="Name a file with records in it.")
    format = options.format or _format_of(opened.name)
    head = opened.text_head()
    skip = sniff.byte_order_mark(head, opened.name)
    head = head[skip:]
    has_metadata_line = False
    if format != "csv":
        _refuse(opened.name, "--type", options.type, "each record in it names its own type")
    if format == "json":
        sniff.check_json(head, opened.name)
        _refuse(opened.name, "--source", options.source, "its own metadata names the source")
        _refuse(opened.name, "--timestamp", options.timestamp, "its own metadata holds the timestamp")
    elif format == "ndjson":
        has_metadata_line = sniff.has_metadata_line(head)
        if has_metadata_line:
            _refuse(opened.name, "--source", options.source, "its metadata line names the source")
            _refuse(opened.name, "--timestamp", options.timestamp, "its metadata line holds the timestamp")
    else:
        sniff.check_csv(head, opened.name, has_type=options.type is not None)
    return Look(format, skip, _metadata(opened, options), has_metadata_line)


def _prepare(opened: Opened, options: Options, on_bytes: OnBytes | None) -> Payload:
    look = look_at(opened, options)
    prefix = b""
    query: tuple[tuple[str, str], ...] = ()
    if look.format == "ndjson" and not look.has_metadata_line:
        prefix = line({"metadata": look.metadata})
    elif look.format == "csv":
        query = (*look.metadata.items(), *((("type", options.type),) if options.type else ()))
    body = _body(opened, prefix, look.skip, options.gzip, on_bytes)
    return Payload(opened.name, MEDIA_TYPES[look.format], query, body, opened.close)


def _body(opened: Opened, prefix: bytes, skip: int, wants_gzip: bool | None, on_bytes: OnBytes | None) -> Body:
    is_gzipped, is_changed = opened.is_gzipped, bool(prefix or skip)
    if opened.file and not (is_gzipped and is_changed) and (is_gzipped or not wants_gzip):
        size = opened.file.seek(0, io.SEEK_END) - skip + len(prefix)
        if size > UNPACKED_LIMIT:
            raise too_large(opened.name)
        if size <= WIRE_LIMIT:
            return FileBody(
                opened.file, opened.name, prefix=prefix, skip=skip, is_gzipped=is_gzipped, on_bytes=on_bytes
            )
        if is_gzipped or wants_gzip is False:
            raise too_large(opened.name)
    chunks = opened.text_chunks() if is_changed else opened.chunks()
    whole = itertools.chain([prefix] if prefix else [], _without(chunks, skip))
    if is_gzipped and not is_changed:
        return _hold(whole, opened.name, is_gzipped=True, may_pack=False, on_bytes=on_bytes)
    if is_gzipped or wants_gzip:
        return pack(whole, opened.name, on_bytes=on_bytes)
    return _hold(whole, opened.name, is_gzipped=False, may_pack=wants_gzip is None, on_bytes=on_bytes)


def _hold(
    chunks: Iterator[bytes], name: str, *, is_gzipped: bool, may_pack: bool, on_bytes: OnBytes | None
) -> MemoryBody:
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if on_bytes:
            on_bytes("reading", size, None)
        if size > WIRE_LIMIT:
            if not may_pack:
                raise too_large(name)
            return pack(itertools.chain(held, chunks), name, on_bytes=on_bytes)
    return MemoryBody(held, is_gzipped=is_gzipped)


def _metadata(opened: Opened, options: Options) -> dict[str, str]:
    stamp = datetime.now(UTC) if opened.stamp is None else datetime.fromtimestamp(int(opened.stamp), UTC)
    return {
        "source": options.source or opened.name.partition(".")[0][:MAX_SOURCE_LENGTH],
        "version": METADATA_VERSION,
        "timestamp": options.timestamp or stamp.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _format_of(name: str) -> Format:
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    if suffixes and (format := _SUFFIXES.get(suffixes[-1])):
        return format
    raise FixFile(
        "format_unknown",
        f"What is in {name} cannot be told from its name.",
        hint="Name the format: --format json, --format ndjson or --format csv.",
    )


def _refuse(name: str, option: str, value: str | None, reason: str) -> None:
    if value is not None:
        raise FixFile("option_unused", f"{option} has no effect on {name}: {reason}.", hint=f"Leave {option} out.")


def _without(chunks: Iterator[bytes], skip: int) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk[skip:]
        skip = max(0, skip - len(chunk))
