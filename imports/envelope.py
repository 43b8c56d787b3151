"""A body in one of the three forms -> its metadata and its records, each still as sent.

Pure: bytes in, Envelope out, Refusal raised for what is wrong with the document as a whole. What is wrong with a single
record is found later and never refuses the document.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from imports.csv_table import metadata_of, read_csv
from imports.json_document import (
    MAX_RECORDS,
    Raws,
    read_json,
    read_json_opening,
    read_json_part,
    read_ndjson,
    read_ndjson_part,
    too_many_records,
)
from imports.refusal import Refusal, unfit

JSON: Final = "application/vnd.bigcorp.v1+json"
NDJSON: Final = "application/vnd.bigcorp.v1+ndjson"
CSV: Final = "text/csv"

MAX_METADATA_BYTES: Final = 64 * 1024
MAX_SOURCE_LENGTH: Final = 100
REQUIRED_METADATA: Final = ("source", "version", "timestamp")
RECORD_COUNT: Final = "recordCount"
"""The member by which metadata may say how many records there are. It refuses nothing: what differs is reported."""
_MOST_ANNOUNCED: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Envelope:
    """`metadata` is the object as JSON; `records` are the raw JSON texts in input order; `announced` is how many
    the metadata says there are, None where it says no number."""

    source: str
    metadata: bytes
    records: Raws
    announced: int | None


def open_envelope(body: bytes, *, media_type: str, parameters: Mapping[str, str]) -> Envelope:
    """Reads `body`; `parameters` carry the metadata of a CSV body. Raises Refusal."""
    if media_type == NDJSON:
        metadata, records = read_ndjson(body)
    elif media_type == CSV:
        metadata = metadata_of(parameters, (*REQUIRED_METADATA, RECORD_COUNT))
        records = read_csv(body, default_type=parameters.get("type"))
    else:
        metadata, records = read_json(body)
    source, announced = _check_metadata(metadata)
    return Envelope(source, metadata, _counted(records), announced)


@dataclass(frozen=True, slots=True)
class Opening:
    """How a job in parts begins: metadata, how many records are to come where the caller says so, and what for.

    `expected_records` is enforced when the job is closed, `announced` is compared.
    """

    source: str
    metadata: bytes
    expected_records: int | None
    is_dry_run: bool
    announced: int | None


def open_opening(body: bytes) -> Opening:
    """Reads the body that opens a job in parts. Raises Refusal."""
    metadata, expected, is_dry_run = read_json_opening(body)
    if expected is not None and expected > MAX_RECORDS:
        raise too_many_records("/expectedRecords")
    source, announced = _check_metadata(metadata)
    return Opening(source, metadata, expected, is_dry_run, announced if expected is None else expected)


def open_part(body: bytes, *, media_type: str, parameters: Mapping[str, str]) -> Raws:
    """The records of one part, which carries no metadata. Raises Refusal."""
    if media_type == NDJSON:
        return _counted(read_ndjson_part(body))
    if media_type == CSV:
        return _counted(read_csv(body, default_type=parameters.get("type")))
    return _counted(read_json_part(body))


def _counted(records: Raws) -> Raws:
    if not records:
        raise unfit("/records", "records_empty", "records must hold at least one record.")
    if len(records) > MAX_RECORDS:
        raise too_many_records()
    return records


def _check_metadata(metadata: bytes) -> tuple[str, int | None]:
    """The source, and the announced number of records; raises Refusal. Members beyond the required ones are kept."""
    if len(metadata) > MAX_METADATA_BYTES:
        raise unfit("/metadata", "metadata_too_large", f"metadata may have at most {MAX_METADATA_BYTES:,} bytes.")
    try:
        # Decoded here, since json.loads takes half a surrogate pair in bytes, which is no UTF-8.
        members = json.loads(metadata.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        raise unfit("/metadata", "not_an_object", "metadata must be an object.")
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
        return str(members["source"].encode().decode()), _announced(members.get(RECORD_COUNT))
    except UnicodeError:
        raise unfit("/metadata/source", "lone_surrogate", "source holds half of a surrogate pair.") from None


def _announced(value: object) -> int | None:
    """As a number, or as text, which is all that an address can hold; anything else announces nothing."""
    if isinstance(value, str) and len(value) <= 10 and value.isascii() and value.isdigit():
        value = int(value)
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_ANNOUNCED
    return value if is_number else None  # type: ignore[return-value]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise unfit(
            "/metadata",
            "duplicate_member",
            "A member stands twice in the metadata; which one counts cannot be known.",
        )
    return members


_LEAP_SECOND: Final = re.compile(r"(?<=\d\d:\d\d:)60|(?<=T\d\d\d\d)60", re.ASCII)


def _is_timestamp(value: str) -> bool:
    """ISO 8601 as Python reads it, a leap second included."""
    try:
        datetime.fromisoformat(_LEAP_SECOND.sub("59", value, count=1))
    except ValueError:
        return False
    return True
