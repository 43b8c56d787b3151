"""CSV bodies: rows become records."""

import json
from typing import Any

import pytest

from imports import csv_table
from imports.envelope import CSV
from tests.imports.bodies import MANY, METADATA, Quick, faults_of, opened, records_of, refusal_of


def csv_records(table: str | bytes, **parameters: str) -> list[dict[str, Any]]:
    body = table if isinstance(table, bytes) else table.encode()
    return [json.loads(raw) for raw in records_of(body, CSV, {**METADATA, **parameters})]


def test_csv_columns_become_members() -> None:
    assert csv_records('id,type,name,custom.tier,Custom.x\r\nA,order,"Li, ""Jo""\r\nnext",gold,\nB,order,,,7\n') == [
        {
            "id": "A",
            "type": "order",
            "attributes": {"name": 'Li, "Jo"\r\nnext', "Custom.x": ""},
            "customFields": {"tier": "gold"},
        },
        {"id": "B", "type": "order", "attributes": {"name": "", "Custom.x": "7"}, "customFields": {"tier": ""}},
    ]


def test_csv_takes_its_type_from_the_address() -> None:
    assert csv_records("id\n1\n", type="product")[0]["type"] == "product"
    assert csv_records("id,type\n1,order\n", type="product")[0]["type"] == "order"


@pytest.mark.parametrize("break_", ["\n", "\r\n", "\r"])
def test_csv_takes_any_line_end_and_a_byte_order_mark(break_: str) -> None:
    table = break_.join(["\ufeffid,type,a", "1,order,é", "", "2,order,😀", ""])
    assert [record["attributes"]["a"] for record in csv_records(table)] == ["é", "😀"]


def test_csv_rows_of_another_length_are_left_to_the_checks() -> None:
    short, long = csv_records("type,a,id,b\norder\norder,1,A,2,3,4\n")
    assert short == {"id": "", "type": "order", "attributes": {}, "customFields": {}}
    assert long == {
        "id": "A",
        "type": "order",
        "attributes": {"a": "1", "b": "2"},
        "customFields": {},
        "extraColumns": ["3", "4"],
    }


def test_csv_cells_may_be_longer_than_python_s_own_limit() -> None:
    cell = "x" * 2_000_000
    assert csv_records(f"id,type,a\n1,order,{cell}\n")[0]["attributes"]["a"] == cell


def test_csv_keeps_nul_for_the_checks() -> None:
    assert csv_records("id,type\n\0,order\n")[0]["id"] == "\0"


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ("id,type\n\xff,order\n".encode("latin-1"), "malformed_body"),
        ("id,type\n1,order\n".encode("utf-16"), "malformed_body"),
        (b'id,type\n"1,order\n', "malformed_body"),
        (b'id,type\n"1"x,order\n', "malformed_body"),
        (b'id,type\n1,"' + b"x" * (csv_table.MAX_CELL_CHARACTERS + 1) + b'"\n', "malformed_body"),
        (b"", "invalid_envelope"),
        (b"\n", "invalid_envelope"),
        (b"name,type\n1,order\n", "invalid_envelope"),
        (b"id,name\n1,order\n", "invalid_envelope"),
        (b"id,type,a,a\n", "invalid_envelope"),
        (b"id,type\n", "invalid_envelope"),
    ],
)
def test_csv_that_cannot_be_read_is_refused(table: bytes, code: str) -> None:
    assert refusal_of(table, CSV, METADATA).code == code


def test_csv_may_have_ten_thousand_columns() -> None:
    names = [f"c{number}" for number in range(10_000)]
    table = ",".join(["id", "type", *names]) + "\n" + ",".join(["1", "order", *names]) + "\n"
    assert csv_records(table)[0]["attributes"] == {name: name for name in names}


def test_half_a_million_columns_are_read_quickly() -> None:
    table = "id,type," + ",".join(f"{number:x}" for number in range(500_000)) + "\n" + "1\n" * 50_000
    with Quick():
        assert len(opened(table.encode(), CSV, METADATA).records) == 50_000


def test_csv_that_would_be_too_large_as_json_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_table, "MAX_JSON_BYTES", 1_000_000)
    table = "id,type," + "n" * 10_000 + "\n" + "1,order,x\n" * 100
    assert refusal_of(table.encode(), CSV, METADATA).code == "body_too_large"


def test_csv_metadata_come_from_the_address() -> None:
    envelope = opened(b"id,type\n1,order\n", CSV, {**METADATA, "unrelated": "x"})
    assert json.loads(envelope.metadata) == METADATA
    assert faults_of(b"id,type\n1,order\n", CSV, {"source": "crm", "version": "1"}) == {
        ("/metadata/timestamp", "missing_member")
    }


def test_csv_rows_beyond_500_000_are_not_read() -> None:
    table = b"id,type\n" + b"1,order\n" * (MANY + 1) + b'"'
    assert faults_of(table, CSV, METADATA) == {("/records", "too_many_records")}
