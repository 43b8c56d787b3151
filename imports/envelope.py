"""A body in one of the three forms -> its metadata and its records, each still as sent.

Pure: bytes in, Envelope out, Refusal raised for what is wrong with the document as a whole. What is wrong with a single
record is found later and never refuses the document.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from imports.refusal import Refusal

JSON: Final = "application/vnd.bigcorp.v1+json"
NDJSON: Final = "application/vnd.bigcorp.v1+ndjson"
CSV: Final = "text/csv"

MAX_RECORDS: Final = 500_000
MAX_METADATA_BYTES: Final = 64 * 1024
MAX_SOURCE_LENGTH: Final = 100
REQUIRED_METADATA: Final = ("source", "version", "timestamp")

Raws = list[bytes] | list[Raw]


@dataclass(frozen=True, slots=True)
class Envelope:
    """`metadata` is the object as JSON; `records` are the raw JSON texts in input order."""

    source: str
    metadata: bytes
    records: Raws


def open_envelope(body: bytes, *, media_type: str, parameters: Mapping[str, str]) -> Envelope:
    """Reads `body`; `parameters` carry the metadata of a CSV body. Raises Refusal."""
    if media_type == NDJSON:
        metadata, records = _ndjson(body)
    elif media_type == CSV:
        metadata, records = _csv(body, parameters)
    else:
        metadata, records = _json(body)
    if not records:
        raise _unfit("/records", "records_empty", "records must hold at least one record.")
    if len(records) > MAX_RECORDS:
        raise _unfit(
            "/records",
            "too_many_records",
            f"A job may have at most {MAX_RECORDS:,} records; split the file into several.",
        )
    return Envelope(_check_metadata(metadata), metadata, records)


class _Document(Struct, forbid_unknown_fields=True):
    metadata: Raw
    records: list[Raw]


class _Members(Struct):
    metadata: Raw
    records: Raw


_decode_document = msgspec.json.Decoder(_Document).decode
_decode_members = msgspec.json.Decoder(_Members).decode
_BARE_DOCUMENT: Final = len(b'{"metadata":,"records":[]}')


def _json(body: bytes) -> tuple[bytes, Raws]:
    try:
        document = _decode_document(body)
    except msgspec.ValidationError:
        raise _explain(body) from None
    except (ValueError, RecursionError) as err:
        raise _malformed(err) from None
    metadata = bytes(document.metadata)
    compact = (
        _BARE_DOCUMENT + len(metadata) + sum(len(memoryview(raw)) for raw in document.records) + len(document.records)
    )
    if len(body) + (1 if document.records else 0) != compact:
        _refuse_doubled_members(body)
    return metadata, document.records


def _refuse_doubled_members(body: bytes) -> None:
    """Reads the document with its records left out; a member that stands twice makes it ambiguous."""
    records = memoryview(_decode_members(body).records)
    # The records are nearly all of a large body, so few places have room for them.
    last_start = len(body) - len(records)
    start = body.find(bytes(records[:64]), 0, last_start + 64)
    while start >= 0 and memoryview(body)[start : start + len(records)] != records:
        start = body.find(bytes(records[:64]), start + 1, last_start + 64)
    rest = body[:start] + b"0" + body[start + len(records) :]
    names: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        names[:] = [name for name, _ in pairs]  # the outermost object is read last

    json.loads(rest, object_pairs_hook=note)
    for name in names:
        if names.count(name) > 1:
            raise _unfit(
                f"/{name}",
                "duplicate_member",
                "A member stands twice in the document; which one counts cannot be known.",
            )


def _explain(body: bytes) -> Refusal:
    """The document is JSON but not of the agreed form: say how, member by member."""
    try:
        document = msgspec.json.decode(body, type=dict[str, Raw])
    except msgspec.ValidationError:
        return _unfit("", "not_an_object", "The body must be a JSON object with metadata and records.")
    errors = [
        (f"/{name}", "missing_member", f"{name} is required.")
        for name in ("metadata", "records")
        if name not in document
    ]
    if "records" in document and not bytes(document["records"]).lstrip().startswith(b"["):
        errors.append(("/records", "not_a_list", "records must be a list."))
    errors += [
        ("/*", "unknown_member", "The document has metadata and records, and nothing else.")
        for name in document
        if name not in ("metadata", "records")
    ]
    return Refusal("invalid_envelope", "The document is not of the agreed form; see errors.", errors=tuple(errors[:20]))


def _ndjson(body: bytes) -> tuple[bytes, Raws]:
    lines = [line for line in body.split(b"\n") if line and not line.isspace()]
    if not lines:
        raise _unfit("", "missing_member", 'The first line must be {"metadata":{…}}.')
    try:
        first = msgspec.json.decode(lines[0], type=dict[str, Raw])
    except (ValueError, RecursionError):
        first = {}
    if set(first) != {"metadata"}:
        raise _unfit("/metadata", "missing_member", 'The first line must be {"metadata":{…}} and nothing else.')
    return bytes(first["metadata"]), [line.strip() for line in lines[1:]]


def _csv(body: bytes, parameters: Mapping[str, str]) -> tuple[bytes, Raws]:
    metadata = msgspec.json.encode({name: parameters[name] for name in REQUIRED_METADATA if name in parameters})
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refusal("malformed_body", "The CSV is not UTF-8 text; save it as UTF-8 and send it again.") from None
    try:
        return metadata, list(_csv_records(text, parameters.get("type")))
    except csv.Error:
        raise Refusal("malformed_body", "The CSV cannot be read: check its quotes and line ends.") from None


def _csv_records(text: str, default_type: str | None) -> Iterator[bytes]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = next(rows, [])
    if "id" not in header:
        raise _unfit("/id", "missing_member", "The CSV's first line must name a column id.")
    if "type" not in header and not default_type:
        raise _unfit("/type", "missing_member", "Name a column type, or add ?type= to the address.")
    doubled = {name for name in header if header.count(name) > 1}
    if doubled:
        raise _unfit("", "duplicate_member", "A column's name stands twice in the first line.")
    custom = [(at, name.removeprefix("custom.")) for at, name in enumerate(header) if name.startswith("custom.")]
    attributes = [
        (at, name) for at, name in enumerate(header) if name not in ("id", "type") and not name.startswith("custom.")
    ]
    id_at, type_at = header.index("id"), header.index("type") if "type" in header else None
    encode = msgspec.json.encode
    for row in rows:
        if not row:
            continue
        short = len(row) < len(header)
        record: dict[str, Any] = {
            "id": row[id_at] if id_at < len(row) else "",
            "type": default_type if type_at is None else row[type_at] if type_at < len(row) else "",
            "attributes": {name: row[at] for at, name in attributes if not short or at < len(row)},
            "customFields": {name: row[at] for at, name in custom if not short or at < len(row)},
        }
        if len(row) > len(header):
            record["extraColumns"] = row[len(header) :]  # refused later as an unknown member, and kept as sent
        yield encode(record)


def _check_metadata(metadata: bytes) -> str:
    """The source; raises Refusal. Members beyond the three required ones are kept."""
    if len(metadata) > MAX_METADATA_BYTES:
        raise _unfit("/metadata", "metadata_too_large", f"metadata may have at most {MAX_METADATA_BYTES:,} bytes.")
    try:
        members = json.loads(metadata)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        raise _unfit("/metadata", "not_an_object", "metadata must be an object.")
    errors = []
    for name in REQUIRED_METADATA:
        if name not in members:
            errors.append((f"/metadata/{name}", "missing_member", f"{name} is required."))
        elif not isinstance(members[name], str) or not members[name] or "\0" in members[name]:
            errors.append((f"/metadata/{name}", "not_a_string", f"{name} must be a string that is not empty."))
    if not errors and len(members["source"]) > MAX_SOURCE_LENGTH:
        errors.append(("/metadata/source", "too_long", f"source may have at most {MAX_SOURCE_LENGTH} characters."))
    if not errors and not _is_timestamp(members["timestamp"]):
        errors.append(
            (
                "/metadata/timestamp",
                "not_a_timestamp",
                "timestamp must be an ISO 8601 time such as 2024-03-15T00:00:00Z.",
            )
        )
    if errors:
        raise Refusal("invalid_envelope", "The metadata is not of the agreed form; see errors.", errors=tuple(errors))
    try:
        return str(members["source"].encode().decode())
    except UnicodeError:
        raise _unfit("/metadata/source", "lone_surrogate", "source holds half of a surrogate pair.") from None


def _is_timestamp(value: str) -> bool:
    """ISO 8601 as Python reads it, a leap second included."""
    try:
        datetime.fromisoformat(value.replace(":60", ":59", 1))
    except ValueError:
        return False
    return True


def _malformed(err: Exception) -> Refusal:
    if isinstance(err, RecursionError):
        return Refusal("malformed_json", "The body is nested too deeply; a record may have at most 64 levels.")
    if isinstance(err, UnicodeDecodeError):
        return Refusal("malformed_json", "The body is not UTF-8 text.")
    # msgspec's message names a place and a kind of fault, never a value.
    return Refusal("malformed_json", f"The body is not JSON: {err}.")


def _unfit(pointer: str, code: str, detail: str) -> Refusal:
    return Refusal("invalid_envelope", detail, errors=((pointer, code, detail),))
