"""A made-up CRM export in BigCorp's format: the same records for the same seed, in any amount, one at a time."""

import csv
import itertools
import random
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, get_args

import msgspec

from config.demo.company import Company, Record
from config.demo.flaws import DUPLICATE, FAULTS, place_flaws

Format = Literal["json", "ndjson", "csv"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

METADATA: Final = {"source": "bigcorp-crm", "version": "1.0.0", "timestamp": "2024-03-15T00:00:00Z"}

_encode = msgspec.json.Encoder(decimal_format="number").encode


def crm_export(*, records: int, seed: int = 7, broken: float = 0.01) -> Iterator[Record]:
    """Products, then customers, then orders that name both. Prices are Decimal, to be written as numbers.

    `broken` is the share of records with a flaw; flaw_counts() says how many of each kind.
    """
    flaws = place_flaws(records=records, broken=broken, seed=seed)
    good = Company(random.Random(f"records-{seed}"), records).records()  # noqa: S311  a story, not a secret
    last: Record | None = None
    for at in range(records):
        kind = flaws.get(at)
        if kind == DUPLICATE and last:
            last = _newer(last, at)
            yield last
            continue
        record = next(good)
        if kind is None:
            last = record
        else:
            FAULTS[kind](record)
        yield record


def write_export(
    target: Path | BinaryIO,
    *,
    records: int,
    seed: int = 7,
    broken: float = 0.01,
    format: Format | None = None,
) -> None:
    """Streams the export. The format is the path's suffix (.json, .ndjson, .csv) unless given; json for a stream.

    CSV says what CSV can: nested values as JSON text, custom fields without a column left out.
    """
    if isinstance(target, Path):
        format = format or _known(target.suffix.removeprefix("."))
        with target.open("wb") as file:
            write_export(file, records=records, seed=seed, broken=broken, format=format)
        return
    export = crm_export(records=records, seed=seed, broken=broken)
    if format == "csv":
        _write_csv(target, export)
        return
    if format == "ndjson":
        target.write(_encode({"metadata": METADATA}) + b"\n")
        target.writelines(_encode(record) + b"\n" for record in export)
        return
    target.write(b'{"metadata":' + _encode(METADATA) + b',"records":[')
    for at, record in enumerate(export):
        target.write((b",\n" if at else b"\n") + _encode(record))
    target.write(b"\n]}\n")


def _newer(record: Record, at: int) -> Record:
    return {**record, "attributes": {**record["attributes"], "lastModified": f"2024-03-14T{at % 24:02d}:00:00Z"}}


def _known(suffix: str) -> Format:
    for format in FORMATS:
        if suffix == format:
            return format
    raise ValueError("An export is written as .json, .ndjson or .csv.")


def _write_csv(target: BinaryIO, export: Iterator[Record]) -> None:
    # One of each type names its columns; which fields are optional is known here.
    company = Company(random.Random(0), 3)  # noqa: S311  a story, not a secret
    samples = itertools.islice(company.records(), 3)
    attributes = dict.fromkeys(name for sample in samples for name in sample["attributes"])
    custom = ("supplier", "shelf", "origin", "segment", "accountManager", "note", "channel", "giftMessage")
    text = TextIOWrapper(target, encoding="utf-8", newline="", write_through=True)
    rows = csv.DictWriter(
        text, ["id", "type", *attributes, *(f"custom.{name}" for name in custom)], extrasaction="ignore"
    )
    rows.writeheader()
    for record in export:
        cells = {"id": record.get("id", ""), "type": record["type"], **record.get("attributes", {})}
        cells |= {f"custom.{name}": value for name, value in record["customFields"].items()}
        rows.writerow({name: _cell(value) for name, value in cells.items()})
    text.flush()
    text.detach()


def _cell(value: Any) -> Any:
    return _encode(value).decode() if isinstance(value, dict | list | bool) else value
