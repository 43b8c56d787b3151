"""The demo's export: realistic, exactly repeatable, broken in known proportions."""

import csv
import gc
import io
import json
import tracemalloc
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.demo.crm_export import METADATA, crm_export, write_export
from config.demo.flaws import DUPLICATE, FAULTS, KINDS, flaw_counts
from imports import checking
from imports.envelope import CSV, JSON, NDJSON, open_envelope

COUNT = 2_000
_encode = msgspec.json.Encoder(decimal_format="number").encode

CODES = {
    "missing_id": "missing_member",
    "number_as_id": "id_not_a_string",
    "unknown_type": "unknown_type",
    "too_many_custom_fields": "too_many_custom_fields",
    "long_custom_value": "custom_field_too_long",
    "custom_value_not_text": "custom_field_not_a_string",
    "missing_attributes": "missing_member",
    "nul_character": "nul_character",
    "extra_member": "unknown_member",
}


def codes_of(record: dict[str, Any]) -> list[str]:
    try:
        checking.read(_encode(record))
    except checking.Refused as refused:
        return [problem.code for problem in refused.problems]
    return []


def written(**options: Any) -> bytes:
    file = io.BytesIO()
    write_export(file, records=200, **options)
    return file.getvalue()


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert written(seed=7) == written(seed=7)
    assert written(seed=7) != written(seed=8)


@pytest.mark.parametrize("records", [0, 1, 2, 3, 10, 999])
def test_there_are_as_many_records_as_asked_for(records: int) -> None:
    assert len(list(crm_export(records=records, broken=0.5))) == records


def test_records_are_about_390_bytes() -> None:
    size = sum(len(_encode(record)) for record in crm_export(records=COUNT))
    assert 380 < size / COUNT < 400


def test_without_flaws_every_record_is_good_and_none_comes_twice() -> None:
    records = list(crm_export(records=COUNT, broken=0))
    assert [codes for record in records if (codes := codes_of(record))] == []
    assert len({(record["type"], record["id"]) for record in records}) == COUNT
    assert Counter(record["type"] for record in records) == {"product": 200, "customer": 600, "order": 1_200}


def test_orders_name_customers_and_products_and_add_up() -> None:
    records = list(crm_export(records=COUNT, broken=0))
    prices = {record["id"]: record["attributes"]["price"] for record in records if record["type"] == "product"}
    customers = {record["id"] for record in records if record["type"] == "customer"}
    for order in (record["attributes"] for record in records if record["type"] == "order"):
        assert order["customerId"] in customers
        assert [line["unitPrice"] for line in order["lines"]] == [prices[line["productId"]] for line in order["lines"]]
        assert order["total"] == sum(line["unitPrice"] * line["quantity"] for line in order["lines"])


def test_prices_keep_their_digits() -> None:
    document = written(broken=0).decode()
    parsed = json.loads(document, parse_float=Decimal)
    assert json.loads(document, parse_float=str)["records"][0]["attributes"]["price"].partition(".")[2].isdigit()
    assert parsed["records"] == list(crm_export(records=200, broken=0))
    assert all(record["attributes"]["price"].as_tuple().exponent == -2 for record in parsed["records"][:20])


def test_names_come_from_all_over_the_world() -> None:
    text = "".join(_encode(record).decode() for record in crm_export(records=COUNT, broken=0))
    for sign in "äéåżãışΑ海雲🎂":
        assert sign in text


def test_flaws_have_equal_shares_and_the_server_finds_each() -> None:
    records = list(crm_export(records=COUNT, broken=0.05))
    counts = flaw_counts(records=COUNT, broken=0.05)
    assert counts == dict.fromkeys(KINDS, 10)
    assert set(CODES) == set(FAULTS)
    found = Counter(code for record in records for code in codes_of(record))
    expected = Counter(dict.fromkeys(CODES.values(), 0))
    for kind, code in CODES.items():
        expected[code] += counts[kind]
    assert found == expected


def test_a_duplicate_is_a_newer_copy_of_a_good_record() -> None:
    records = [record for record in crm_export(records=COUNT, broken=0.05) if not codes_of(record)]
    first: dict[tuple[str, str], dict[str, Any]] = {}
    duplicates = 0
    for record in records:
        key = (record["type"], record["id"])
        if key in first:
            duplicates += 1
            newer = {"lastModified": record["attributes"]["lastModified"]}
            assert record["attributes"] == first[key]["attributes"] | newer
        first[key] = record
    assert duplicates == flaw_counts(records=COUNT, broken=0.05)[DUPLICATE]


def test_the_server_opens_every_form() -> None:
    by_form = {JSON: written(format="json"), NDJSON: written(format="ndjson"), CSV: written(format="csv")}
    for media_type, body in by_form.items():
        envelope = open_envelope(body, media_type=media_type, parameters=METADATA)
        assert (envelope.source, len(envelope.records)) == ("bigcorp-crm", 200)


def test_csv_has_a_column_for_every_attribute() -> None:
    rows = list(csv.DictReader(io.StringIO(written(format="csv", broken=0).decode())))
    records = list(crm_export(records=200, broken=0))
    for row, record in zip(rows, records, strict=True):
        assert record["attributes"].keys() <= row.keys()
        assert {f"custom.{name}" for name in record["customFields"]} <= row.keys()
        assert row["id"] == record["id"]
    order = json.loads(rows[-1]["lines"], parse_float=Decimal)
    assert order == records[-1]["attributes"]["lines"]


@pytest.mark.parametrize("name", ["export.json", "export.ndjson", "export.csv"])
def test_a_path_says_its_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_export(path, records=200)
    form: Any = path.suffix.removeprefix(".")
    assert path.read_bytes() == written(format=form)


def test_a_path_of_another_kind_is_refused_before_it_is_touched(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="json"):
        write_export(tmp_path / "export.xml", records=1)
    assert list(tmp_path.iterdir()) == []


def test_writing_holds_no_records() -> None:
    class Sink(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            return len(data)

    gc.collect()
    tracemalloc.start()
    try:
        write_export(Sink(), records=3_000)  # type: ignore[arg-type]
        assert tracemalloc.get_traced_memory()[1] < 1_500_000  # as objects they are 6 MB
    finally:
        tracemalloc.stop()
