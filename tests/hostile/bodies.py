"""Whole bodies that are no import: each with the status and the code that it must be refused with."""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from imports.envelope import CSV, JSON, NDJSON
from tests.hostile.records import MARK, raw_record

METADATA = {"source": MARK, "version": "1.0.0", "timestamp": "2024-03-15T00:00:00Z"}
CSV_METADATA = f"source={MARK}&version=1.0.0&timestamp=2024-03-15T00:00:00Z"


@dataclass(frozen=True, slots=True)
class BodyCase:
    """`status` 0: the body is taken, and `records` of it are received. `pointer` is that of the first error, if any."""

    name: str
    body: bytes = field(repr=False)
    status: int = 0
    code: str = ""
    pointer: str | None = None
    media_type: str = JSON
    encoding: str = ""
    query: str = ""
    records: int = 1


def document(records: bytes, metadata: bytes | None = None) -> bytes:
    """The JSON document around the text of its records."""
    head = json.dumps(METADATA).encode() if metadata is None else metadata
    return b'{"metadata":' + head + b',"records":[' + records + b"]}"


def lines(*records: bytes, metadata: bytes | None = None) -> bytes:
    """The same as NDJSON."""
    head = json.dumps(METADATA).encode() if metadata is None else metadata
    return b"\n".join([b'{"metadata":' + head + b"}", *records])


GOOD = raw_record("good")


def body_cases() -> list[BodyCase]:
    """Every case, in an order that does not change."""
    return [*_no_json(), *_no_document(), *_metadata(), *_ndjson(), *_csv(), *_packed(), *_media_types()]


def _no_json() -> Iterator[BodyCase]:
    whole = document(GOOD)
    text = whole.decode()
    for name, body in {
        "nothing": b"",
        "white space": b" \r\n\t",
        "a brace": b"{",
        "cut in the middle": whole[: len(whole) // 2],
        "cut at the end": whole[:-1],
        "something behind it": whole + b"x",
        "two documents": whole + whole,
        "a byte order mark": b"\xef\xbb\xbf" + whole,
        "UTF-16": text.encode("utf-16"),
        "UTF-16 without a mark": text.encode("utf-16-le"),
        "UTF-32": text.encode("utf-32"),
        "EBCDIC": text.encode("cp037"),
        "NUL bytes": bytes(1000),
        "a NUL behind it": whole + b"\0",
        "no JSON at all": f"<xml>{MARK}</xml>".encode(),
        "a form": f"records={MARK}&metadata=1".encode(),
        "Python": str({"metadata": METADATA, "records": []}).encode(),
        "a hundred thousand objects": b'{"a":' * 100_000,
        "a hundred thousand lists in the records": document(b"[" * 100_000 + b"]" * 100_000),
        "a hundred thousand lists in the metadata": document(GOOD, b"[" * 100_000 + b"]" * 100_000),
        "NaN in the metadata": document(GOOD, b'{"source":NaN}'),
        "a comma too many": document(GOOD + b","),
    }.items():
        yield BodyCase(f"{name}: no JSON", body, 400, "malformed_json")


def _no_document() -> Iterator[BodyCase]:
    for text in ("null", "true", "7", f'"{MARK}"', "[]", f'[{{"{MARK}":1}}]'):
        yield BodyCase(f"the document {text}", text.encode(), 422, "invalid_envelope", "")
    head = json.dumps(METADATA)
    record = GOOD.decode()
    for name, text, pointer in (
        ("no member", "{}", "/metadata"),
        ("no metadata", f'{{"records":[{record}]}}', "/metadata"),
        ("no records", f'{{"metadata":{head}}}', "/records"),
        ("records that are null", f'{{"metadata":{head},"records":null}}', "/records"),
        ("records that are an object", f'{{"metadata":{head},"records":{{}}}}', "/records"),
        ("records that are a text", f'{{"metadata":{head},"records":"{MARK}"}}', "/records"),
        ("an empty list of records", f'{{"metadata":{head},"records":[]}}', "/records"),
        ("a third member", f'{{"metadata":{head},"records":[{record}],"{MARK}":1}}', "/*"),
        ("__proto__", f'{{"metadata":{head},"records":[{record}],"__proto__":{{}}}}', "/*"),
        ("records twice", f'{{"metadata":{head},"records":[{record}],"records":[1]}}', "/records"),
        ("records twice, escaped", f'{{"metadata":{head},"records":[{record}],"record\\u0073":[1]}}', "/records"),
        ("metadata twice", f'{{"metadata":{head},"metadata":{head},"records":[{record}]}}', "/metadata"),
        ("metadata twice, one null", f'{{"metadata":null,"metadata":{head},"records":[{record}]}}', "/metadata"),
        ("one record too many", document(b",".join([b"0"] * 500_001)).decode(), "/records"),
    ):
        yield BodyCase(f"{name}: no document", text.encode(), 422, "invalid_envelope", pointer)


_NO_TEXTS: tuple[Any, ...] = (None, "", 7, True, [], {}, f"{MARK}\0")


def _metadata() -> Iterator[BodyCase]:
    for text in ("null", "[]", "7", f'"{MARK}"', f'["{MARK}"]'):
        yield BodyCase(f"metadata {text}", document(GOOD, text.encode()), 422, "invalid_envelope", "/metadata")
    for name in METADATA:
        others = {other: value for other, value in METADATA.items() if other != name}
        pointer = f"/metadata/{name}"
        yield BodyCase(f"no {name}", _with(others), 422, "invalid_envelope", pointer)
        for value in _NO_TEXTS:
            yield BodyCase(f"{name} {value!r}", _with({**others, name: value}), 422, "invalid_envelope", pointer)
    twice = json.dumps(METADATA).replace('"version"', '"source": "b", "version"')
    yield BodyCase("source twice", document(GOOD, twice.encode()), 422, "invalid_envelope", "/metadata")
    source = "/metadata/source"
    yield BodyCase("a source of 100", _with({**METADATA, "source": "😀" * 100}))
    yield BodyCase("a source of 101", _with({**METADATA, "source": "😀" * 101}), 422, "invalid_envelope", source)
    yield BodyCase(
        "half a pair in the source", _with({**METADATA, "source": "\ud83d"}), 422, "invalid_envelope", source
    )
    yield BodyCase("half a pair elsewhere", _with({**METADATA, "note": "\ud83d"}))
    yield BodyCase("NUL elsewhere", _with({**METADATA, "note": "\0"}))
    yield BodyCase("more members", _with({**METADATA, "__proto__": {"a": [1]}, "": None}))
    large = {**METADATA, "note": MARK * 8_000}
    yield BodyCase("64 KiB of metadata", _with(large), 422, "invalid_envelope", "/metadata")
    deep = json.dumps(METADATA)[:-1] + ',"note":' + "[" * 900 + "]" * 900 + "}"
    yield BodyCase("deep metadata", document(GOOD, deep.encode()))
    for text in TIMES:
        yield BodyCase(f"the time {text}", _with({**METADATA, "timestamp": text}))
    for text in NO_TIMES:
        case = _with({**METADATA, "timestamp": text})
        yield BodyCase(f"no time: {text[:20]}", case, 422, "invalid_envelope", "/metadata/timestamp")


def _with(metadata: object) -> bytes:
    return document(GOOD, json.dumps(metadata).encode())


TIMES = (
    "2024-03-15T00:00:00Z",
    "2024-03-15T00:00:00+00:00",
    "2024-03-15T00:00:00.123456789Z",
    "2024-03-15T00:00:00,5Z",
    "2024-03-15T05:45:00+05:45",
    "2024-03-14T12:00:00-12:00",
    "2024-03-15T14:00:00+14:00",
    "2024-03-15T00:00:00",
    "2024-03-15 00:00:00",
    "2024-03-15",
    "20240315T000000Z",
    "2024-W11-5",
    "2024-W11-5T10:00:00Z",
    "2016-12-31T23:59:60Z",
    "2017-01-01T08:59:60+09:00",
    "20161231T235960Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:60Z",
    "2024-02-29T12:00:00Z",
    "1969-12-31T23:59:59Z",
    "2038-01-19T03:14:08Z",
)
"""Moments that ISO 8601 can name and a caller may send, whatever a calendar of ours makes of them."""

NO_TIMES = (
    "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "+10000-01-01T00:00:00Z",
    "-0001-01-01T00:00:00Z",
    "2023-02-29T00:00:00Z",
    "2024-13-01T00:00:00Z",
    "2024-00-10T00:00:00Z",
    "2024-03-32T00:00:00Z",
    "2024-03-15T25:00:00Z",
    "2024-03-15T00:60:00Z",
    "2024-03-15T00:00:61Z",
    "2024-03-15T00:00:00+25:00",
    "2024-W54-1",
    "1710460800",
    "yesterday",
    "2024-03-15T00:00:00Z; DROP TABLE",
    "٢٠٢٤-03-15T00:00:00Z",
    "2024-03-15T00:00:00Zx",
    "Fri, 15 Mar 2024 00:00:00 GMT",
    "9" * 5_000,
)


def _ndjson() -> Iterator[BodyCase]:
    def refused(name: str, body: bytes, status: int, code: str, pointer: str | None = None) -> BodyCase:
        return BodyCase(f"NDJSON: {name}", body, status, code, pointer, media_type=NDJSON)

    yield refused("no head", GOOD, 422, "invalid_envelope", "/metadata")
    yield refused("a document in place of the head", document(GOOD), 422, "invalid_envelope", "/metadata")
    yield refused("nothing", b"\n \r\n", 422, "invalid_envelope", "/metadata")
    yield refused("a head alone", lines(), 422, "invalid_envelope", "/records")
    yield refused("a head that is no JSON", b'{"metadata":\n', 400, "malformed_json")
    yield refused(
        "a head that is not UTF-8", b'{"metadata":{"source":"\xff"}}\n1', 422, "invalid_envelope", "/metadata"
    )
    twice = b'{"metadata":{},"metadata":' + json.dumps(METADATA).encode() + b"}\n" + GOOD
    yield refused("metadata twice", twice, 422, "invalid_envelope", "/metadata")
    yield refused("one line too many", lines(*[b"0"] * 500_001), 422, "invalid_envelope", "/records")
    yield refused("UTF-16", lines(GOOD).decode().encode("utf-16"), 400, "malformed_json")
    yield BodyCase(
        "NDJSON: blank lines and CRLF", b"\r\n" + lines(b"", GOOD, b"\t", b"") + b"\r\n\r\n", media_type=NDJSON
    )
    yield BodyCase("NDJSON: a second head", lines(GOOD, lines()), media_type=NDJSON, records=2)
    yield BodyCase("NDJSON: no line is JSON", lines(b"{", b"\xff\xfe", b"\0\0", b"'"), media_type=NDJSON, records=4)


def _csv() -> Iterator[BodyCase]:
    query = f"{CSV_METADATA}&type=customer"

    def refused(name: str, body: bytes, status: int, code: str, pointer: str | None = None) -> BodyCase:
        return BodyCase(f"CSV: {name}", body, status, code, pointer, media_type=CSV, query=query)

    def taken(name: str, body: bytes, records: int = 1) -> BodyCase:
        return BodyCase(f"CSV: {name}", body, media_type=CSV, query=query, records=records)

    yield refused("nothing", b"", 422, "invalid_envelope", "/id")
    yield refused("a header alone", b"id,name\n", 422, "invalid_envelope", "/records")
    yield refused("no column id", b"ID,name\n1,2\n", 422, "invalid_envelope", "/id")
    yield refused("semicolons", b"id;name\n1;2\n", 422, "invalid_envelope", "/id")
    yield refused("a column twice", b"id,a,a\n1,2,3\n", 422, "invalid_envelope", "")
    yield refused("a quote never closed", b'id,a\n1,"' + MARK.encode() + b"\n" * 100, 400, "malformed_body")
    yield refused("a quote in the middle", f'id,a\n1,"{MARK}"x\n'.encode(), 400, "malformed_body")
    yield refused("a cell of 17 million", b"id,a\n1," + b"x" * (16 * 1024 * 1024 + 1), 400, "malformed_body")
    yield refused("Latin-1", "id,a\n1,ä\n".encode("latin-1"), 400, "malformed_body")
    yield refused("UTF-16", "id,a\n1,2\n".encode("utf-16"), 400, "malformed_body")
    rows = b"id\n" + b"x\n" * 500_001
    yield refused("one row too many", rows, 422, "invalid_envelope", "/records")
    long_name = "n" * 100_000
    repeated = f"id,{long_name}\n".encode() + b"1,2\n" * 6_000
    yield refused("a name that repeats into 600 MB", repeated, 413, "body_too_large")
    yield taken("a byte order mark", b"\xef\xbb\xbfid,a\n1,2\n")
    yield taken("line ends mixed", b"id,a\r\n1,2\n3,4\r5,6\r\n", records=3)
    yield taken("rows short, long and empty", b"id,a,b\n1\n\n2,3,4,5,6\n7,8,9\n", records=3)
    yield taken("NUL in a cell", b"id,a\n1,\0\n")
    formulas = [f"{sign}1+1|{MARK}" for sign in ("=", "+", "-", "@", "\t", "\r", "|", "%")]
    cells = "".join(f'{number},"{formula}"\n' for number, formula in enumerate(formulas))
    yield taken("formulas", f"id,a\n{cells}".encode(), records=len(formulas))
    columns = ",".join(["id", *(f"c{number}" for number in range(200_000))])
    yield taken("200,000 columns", f"{columns}\n1\n".encode())
    yield taken(
        "names that mean something elsewhere", b"id,__proto__,customFields,custom.,custom.__proto__\n1,2,3,4,5\n"
    )
    for name, wrong, pointer in (
        ("no metadata", "type=customer", "/metadata/source"),
        ("no type", CSV_METADATA, "/type"),
        ("a bad time", query.replace("2024-03-15T00:00:00Z", "today"), "/metadata/timestamp"),
    ):
        yield BodyCase(f"CSV: {name}", b"id\n1\n", 422, "invalid_envelope", pointer, media_type=CSV, query=wrong)
    for name, wrong in (("NUL", f"{CSV_METADATA}&type=%00"), ("NUL in the source", query.replace(MARK, "a%00"))):
        yield BodyCase(f"CSV: {name} in the address", b"id\n1\n", 400, "malformed_request", media_type=CSV, query=wrong)
    yield BodyCase("CSV: an odd type", b"id\n1\n", media_type=CSV, query=f"{CSV_METADATA}&type=%ff%f0%9f%98%80")


def _packed() -> Iterator[BodyCase]:
    whole = document(GOOD)
    packed = gzip.compress(whole)
    for name, body in {
        "plain": whole,
        "cut short": packed[:-1],
        "cut in the head": packed[:9],
        "something behind it": packed + MARK.encode(),
        "zeros behind it": packed + bytes(100),
        "a wrong checksum": packed[:-8] + bytes(4) + packed[-4:],
        "a wrong length": packed[:-4] + bytes(4),
        "zlib": zlib.compress(whole),
        "deflate": zlib.compress(whole)[2:-4],
        "ten thousand empty members and one": gzip.compress(b"") * 10_001,
        "an unknown method": packed[:2] + b"\x07" + packed[3:],
    }.items():
        yield BodyCase(f"gzip: {name}", body, 400, "malformed_body", encoding="gzip")
    yield BodyCase("gzip: packed twice", gzip.compress(packed), 400, "malformed_json", encoding="gzip")
    yield BodyCase("gzip: of nothing", gzip.compress(b""), 400, "malformed_json", encoding="gzip")
    yield BodyCase("gzip: a bomb", bomb(513), 413, "body_too_large", encoding="gzip")
    yield BodyCase(
        "gzip: many members",
        b"".join(gzip.compress(whole[at : at + 40]) for at in range(0, len(whole), 40)),
        encoding="gzip",
    )
    named = io.BytesIO()
    with gzip.GzipFile(filename=f"../../{MARK}", mode="wb", fileobj=named) as file:
        file.write(whole)
    yield BodyCase("gzip: with a name", named.getvalue(), encoding="gzip")
    for encoding in ("br", "deflate", "zstd", "identity", "gzip, gzip", "x" * 1_000):
        yield BodyCase(f"the encoding {encoding[:20]}", whole, 415, "unsupported_encoding", encoding=encoding)


def bomb(megabytes: int) -> bytes:
    """Gzip that unpacks to more than it should."""
    packer, piece = zlib.compressobj(1, wbits=31), bytes(1024 * 1024)
    return b"".join([*(packer.compress(piece) for _ in range(megabytes)), packer.flush()])


def _media_types() -> Iterator[BodyCase]:
    for media_type in (
        "application/json",
        "text/plain",
        f"{JSON}; charset=utf-7",
        f"{JSON}; charset=bogus",
        f"{JSON}; charset=utf-16",
        f"{JSON}; boundary=x",
        f"{JSON}; charset=utf-8; charset=utf-8",
        f"{JSON}, {JSON}",
        "application/vnd.bigcorp.v2+json",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/xml",
        "*/*",
        "application/vnd.bigcorp.v1+json\t;",
        "x" * 4_000,
        "",
    ):
        yield BodyCase(
            f"the type {media_type[:50]!r}", document(GOOD), 415, "unsupported_media_type", media_type=media_type
        )
