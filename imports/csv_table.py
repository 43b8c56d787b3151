"""CSV bodies -> records as JSON. Columns `id`, `type` and `custom.NAME`; others are attributes; all cells strings."""

import csv
import io
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from imports.json_document import MAX_RECORDS, Raws
from imports.refusal import Refusal, unfit

MAX_CELL_CHARACTERS: Final = 16 * 1024 * 1024
MAX_JSON_BYTES: Final = 512 * 1024 * 1024

# Longer cells are a quote that was never closed. The limit is the csv module's own, one for the whole process.
csv.field_size_limit(MAX_CELL_CHARACTERS)


def read_csv(body: bytes, *, default_type: str | None) -> Raws:
    """The records; `default_type` where there is no column for it. Raises Refusal."""
    # Read as a stream: a text of the whole body would take up to four times its size.
    text = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", newline="")
    try:
        return _bounded(_records(csv.reader(text, strict=True), default_type))
    except UnicodeDecodeError:
        raise Refusal("malformed_body", "The CSV is not UTF-8 text; save it as UTF-8 and send it again.") from None
    except csv.Error:
        raise Refusal("malformed_body", "The CSV cannot be read: check its quotes and line ends.") from None


def _bounded(records: Iterator[bytes]) -> list[bytes]:
    """Each record repeats the names of its columns, so that a small table can be very large as JSON."""
    kept: list[bytes] = []
    size = 0
    for record in islice(records, MAX_RECORDS + 1):
        size += len(record)
        if size > MAX_JSON_BYTES:
            raise Refusal(
                "body_too_large",
                f"With its column names in every record the CSV has more than {MAX_JSON_BYTES:,} bytes; split it.",
            )
        kept.append(record)
    return kept


def _records(rows: Iterator[list[str]], default_type: str | None) -> Iterator[bytes]:
    header = next(rows, [])
    if "id" not in header:
        raise unfit("/id", "missing_member", "The CSV's first line must name a column id.")
    if "type" not in header and not default_type:
        raise unfit("/type", "missing_member", "Name a column type, or add ?type= to the address.")
    if len(set(header)) < len(header):
        raise unfit("", "duplicate_member", "A column's name stands twice in the first line.")
    # Where each column's cells go: the record itself, its attributes or its custom fields.
    places = [
        (0, name) if name in ("id", "type") else (2, name[7:]) if name.startswith("custom.") else (1, name)
        for name in header
    ]
    type_left_out = "" if "type" in header else default_type
    encode = msgspec.json.encode
    for row in rows:
        if not row:
            continue
        attributes: dict[str, str] = {}
        custom_fields: dict[str, str] = {}
        record: dict[str, Any] = {
            "id": "",
            "type": type_left_out,
            "attributes": attributes,
            "customFields": custom_fields,
        }
        parts = (record, attributes, custom_fields)
        for (part, name), cell in zip(places, row, strict=False):
            parts[part][name] = cell
        if len(row) > len(header):
            record["extraColumns"] = row[len(header) :]  # refused later as an unknown member, and kept as sent
        yield encode(record)


def metadata_of(parameters: Mapping[str, str], names: tuple[str, ...]) -> bytes:
    """The metadata of a CSV body, which come in the address."""
    return msgspec.json.encode({name: parameters[name] for name in names if name in parameters})
