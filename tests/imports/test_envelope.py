import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imports import csv_table, json_document
from imports.envelope import CSV, JSON, NDJSON, Envelope, open_envelope, open_opening
from imports.refusal import Refusal
from tests.imports.documents import Members, searching, spell, trees

METADATA: dict[str, Any] = {"source": "crm", "version": "1.0.0", "timestamp": "2024-03-15T00:00:00Z"}
HEAD = b'{"metadata":' + json.dumps(METADATA).encode() + b',"records":'
MANY = 500_000


def opened(body: bytes, media_type: str = JSON, parameters: Mapping[str, str] | None = None) -> Envelope:
    return open_envelope(body, media_type=media_type, parameters=parameters or {})


def records_of(body: bytes, media_type: str = JSON, parameters: Mapping[str, str] | None = None) -> list[bytes]:
    return [bytes(memoryview(raw)) for raw in opened(body, media_type, parameters).records]


def csv_records(table: str | bytes, **parameters: str) -> list[dict[str, Any]]:
    body = table if isinstance(table, bytes) else table.encode()
    return [json.loads(raw) for raw in records_of(body, CSV, {**METADATA, **parameters})]


def refusal_of(body: bytes, media_type: str = JSON, parameters: Mapping[str, str] | None = None) -> Refusal:
    with pytest.raises(Refusal) as caught:
        opened(body, media_type, parameters)
    return caught.value


def faults_of(body: bytes, media_type: str = JSON, parameters: Mapping[str, str] | None = None) -> set[tuple[str, str]]:
    """(pointer, code) of each fault of a document that is refused as 422 invalid_envelope."""
    refusal = refusal_of(body, media_type, parameters)
    assert refusal.code == "invalid_envelope"
    return {(pointer, code) for pointer, code, _ in refusal.errors}


class Quick:
    """A block that takes about a second at most; what grows with the square of the body takes minutes or days."""

    def __enter__(self) -> None:
        self.begun = time.process_time()

    def __exit__(self, *_: object) -> None:
        assert time.process_time() - self.begun < 8


def test_a_document_gives_its_records_to_the_byte() -> None:
    envelope = opened(b' { "records" : [ {"a": 1.50} , 2,"x" ] , "metadata":' + json.dumps(METADATA).encode() + b"}\n")
    assert [bytes(memoryview(raw)) for raw in envelope.records] == [b'{"a": 1.50}', b"2", b'"x"']
    assert json.loads(envelope.metadata) == METADATA
    assert envelope.source == "crm"


@searching
@given(st.lists(trees(), min_size=1, max_size=4), st.integers(0, 2**32))
def test_any_spelling_of_a_document_is_split_into_its_records(values: list[Any], seed: int) -> None:
    members = [("metadata", Members(METADATA.items())), ("records", values)]
    text = spell(Members(members if seed % 2 else reversed(members)), Random(seed), spaced=seed % 3 > 0)
    assert [json.loads(raw) for raw in records_of(text.encode())] == json.loads(text)["records"]


def test_a_bad_record_does_not_refuse_the_document() -> None:
    bad = [b'{"id":"\xff"}', rb'{"id":"\ud83d"}', rb'"\udc00\ud83d"', b"[" * 65 + b"]" * 65, b"null", b'{"a":1,"a":1}']
    good = rb'{"id":"\ud83d\ude00 \\ud83d"}'
    assert records_of(HEAD + b"[" + b" ,\n".join([good, *bad, good]) + b"]}") == [good, *bad, good]


def test_half_a_surrogate_pair_in_the_source_is_named() -> None:
    body = HEAD.replace(b"crm", rb"\ud83d") + b"[1]}"
    assert faults_of(body) == {("/metadata/source", "lone_surrogate")}


def test_half_a_surrogate_pair_in_other_metadata_is_kept() -> None:
    body = HEAD.replace(b'{"source"', rb'{"note":"\ud83d","source"') + b"[1]}"
    assert rb'"\ud83d"' in opened(body).metadata


@pytest.mark.parametrize(
    "text", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xed\xa0\xbd\xed\xb8\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"]
)
@pytest.mark.parametrize("member", ["source", "note"])
def test_metadata_that_is_not_utf_8_is_refused(text: bytes, member: str) -> None:
    metadata = json.dumps({**METADATA, member: "@"}).encode().replace(b"@", text)
    for body, media_type in (
        (b'{"metadata":' + metadata + b',"records":[1]}', JSON),
        (b'{"metadata":' + metadata + b"}\n1", NDJSON),
    ):
        assert refusal_of(body, media_type).code == "invalid_envelope"
    with pytest.raises(Refusal, match="invalid_envelope"):
        open_opening(b'{"metadata":' + metadata + b"}")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        HEAD + b"[1]",
        HEAD + b"[1]} x",
        HEAD + b"[1]}{}",
        HEAD + b"[1,]}",
        HEAD + b"[01]}",
        HEAD + b"[NaN]}",
        HEAD + b'["\n"]}',
        HEAD + rb'["\ud83d" x]}',
        b"\xef\xbb\xbf" + HEAD + b"[1]}",
        (HEAD + b"[1]}").decode().encode("utf-16"),
        HEAD + b"[" * 100_000,
        HEAD + b"[" + b"[" * 100_000 + b"]" * 100_000 + b"]}",
    ],
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    assert refusal_of(body).code == "malformed_json"


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        (b"null", {("", "not_an_object")}),
        (b"[]", {("", "not_an_object")}),
        (b"{}", {("/metadata", "missing_member"), ("/records", "missing_member")}),
        (b'{"metadata":{}}', {("/records", "missing_member")}),
        (
            b'{"records":{},"x":1,"y":1}',
            {("/metadata", "missing_member"), ("/records", "not_a_list"), ("/*", "unknown_member")},
        ),
        (HEAD + b"null}", {("/records", "not_a_list")}),
        (HEAD + b'[1],"more":1}', {("/*", "unknown_member")}),
        (HEAD + b"[]}", {("/records", "records_empty")}),
        (HEAD + b"[ ]}", {("/records", "records_empty")}),
    ],
)
def test_a_document_of_another_form_is_explained(body: bytes, faults: set[tuple[str, str]]) -> None:
    assert faults_of(body) == faults


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (HEAD + b'[1],"records":[2]}', "records"),
        (HEAD + b'[1],"records":[1]}', "records"),
        (HEAD + b'[1], "records" :[1] }', "records"),
        (HEAD + rb'[1],"\u0072ecords":[2]}', "records"),
        (HEAD + rb'[1],"rec\u006Frds":[1]}', "records"),
        (b'{"metadata":1,' + HEAD[1:] + b"[1]}", "metadata"),
        (b'{"metadata":{},"records":[1],' + HEAD[1:] + b"[1]}", "metadata"),
        (b'{"metadata":"\\",\\"records\\":",' + HEAD[1:] + b"[1]}", "metadata"),
        (b'{"records":12,"records":[1],' + HEAD[1:-11] + b"}", "records"),
    ],
)
def test_a_member_that_stands_twice_refuses_the_document(body: bytes, name: str) -> None:
    assert faults_of(body) == {(f"/{name}", "duplicate_member")}


def test_a_member_may_be_spelled_with_escapes() -> None:
    assert records_of(HEAD.replace(b"metadata", rb"\u006detadata").replace(b"records", rb"r\u0065cords") + b"[1]}") == [
        b"1"
    ]


def test_names_of_members_inside_values_are_no_members() -> None:
    record = rb'{"metadata":1,"records":[],"x":"\",\"records\":[1]"}'
    assert records_of(HEAD + b"[ " + record + b" ]}") == [record]


HOSTILE: dict[str, Callable[[], bytes]] = {
    "metadata of 20 MB": lambda: b'{"metadata":"' + b"x" * 20_000_000 + b'","records":[1]}',
    "metadata like records": lambda: b'{"metadata":[' + b'["[0,0,",' * 2_000_000 + b'0],"records":[["[0,0,", 1]]}',
    "records after white space": lambda: HEAD[:-10] + b" " * 20_000_000 + b'"records":[1],"records":[1]}',
    "white space in the records": lambda: HEAD + b"[" + b" " * 20_000_000 + b'1],"records":[1]}',
    "a name of 24 MB": lambda: b'{"' + b"\\u0061" * 4_000_000 + b'":1,"metadata":1}',
    "millions of members": lambda: b"{" + b'"a":0,' * 4_000_000 + b'"b":0}',
    "millions of records": lambda: HEAD + b"[" + b"0," * 25_000_000 + b"0]}",
    "millions of half pairs": lambda: HEAD + b'["' + rb"\ud83d" * 1_000_000 + b'"]',
    "quotes that never end": lambda: HEAD + b'["' + b'\\"' * 10_000_000,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_document_is_refused_quickly(body: Callable[[], bytes]) -> None:
    document = body()
    with Quick():
        refusal_of(document)


def test_no_more_than_500_000_records_are_taken() -> None:
    assert len(opened(HEAD + b"[" + b"0," * (MANY - 1) + b"0]}").records) == MANY
    assert faults_of(HEAD + b"[" + b"0," * MANY + b"0]}") == {("/records", "too_many_records")}


def test_too_many_records_are_counted_without_keeping_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_document, "_WHOLE", replace(json_document._WHOLE, decode=None))  # type: ignore[arg-type]
    assert faults_of(HEAD + b"[" + b"0 ," * 12_000_000 + b"0]}") == {("/records", "too_many_records")}


def test_a_dense_body_of_few_records_is_taken() -> None:
    numbers = b"[" + b"0," * 11_000_000 + b"0]"
    assert records_of(HEAD + b"[" + numbers + b" , 1]}") == [numbers, b"1"]


def test_ndjson_gives_each_line_as_sent() -> None:
    body = b"\r\n" + HEAD[:-11] + b"}\r\n" + b'{"a": 1}\r\n\n  \n\t{"b":2} \nnot json\r\n"\xff"\n[\n\x0c\n3'
    assert records_of(body, NDJSON) == [b'{"a": 1}', b'{"b":2}', b"not json", b'"\xff"', b"[", b"\x0c", b"3"]


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (b"", "invalid_envelope"),
        (b"{}", "invalid_envelope"),
        (b"[]", "invalid_envelope"),
        (HEAD + b"[]}", "invalid_envelope"),
        (HEAD[:-11] + b',"metadata":{}}', "invalid_envelope"),
        (HEAD[:-11] + rb',"m\u0065tadata":{}}', "invalid_envelope"),
        (b"metadata", "malformed_json"),
        (b"\xef\xbb\xbf" + HEAD[:-11] + b"}", "malformed_json"),
        (b'{"metadata":{"source":"\xff"}}', "invalid_envelope"),
    ],
)
def test_ndjson_begins_with_its_metadata(head: bytes, code: str) -> None:
    assert refusal_of(head + b"\n1\n", NDJSON).code == code


def test_ndjson_without_a_record_is_refused() -> None:
    assert faults_of(HEAD[:-11] + b"}\n\n", NDJSON) == {("/records", "records_empty")}


@pytest.mark.parametrize("line", [b"\n", b" \n", b"0\n", b"\r", b"0"])
def test_any_number_of_lines_is_read_quickly(line: bytes) -> None:
    body = HEAD[:-11] + b"}\n" + line * 20_000_000
    with Quick():
        if line == b"0":
            assert len(opened(body, NDJSON).records) == 1
        else:
            refusal_of(body, NDJSON)


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


def with_metadata(**members: Any) -> bytes:
    metadata = {name: value for name, value in {**METADATA, **members}.items() if value is not ...}
    return json.dumps({"metadata": metadata, "records": [1]}).encode()


def test_metadata_beyond_the_required_are_kept() -> None:
    assert json.loads(opened(with_metadata(batch=7)).metadata) == {**METADATA, "batch": 7}


@pytest.mark.parametrize("name", ["source", "version", "timestamp"])
def test_each_required_member_of_the_metadata_must_be_text(name: str) -> None:
    assert faults_of(with_metadata(**{name: ...})) == {(f"/metadata/{name}", "missing_member")}
    values: tuple[object, ...] = ("", 1, None, [], "\0")
    for value in values:
        assert faults_of(with_metadata(**{name: value})) == {(f"/metadata/{name}", "not_a_string")}


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        (b"null", "not_an_object"),
        (b'"x"', "not_an_object"),
        (b"[" * 500 + b"]" * 500, "not_an_object"),
        (b'{"n":' + b"9" * 5000 + b"}", "not_an_object"),
        (b'{"pad":"' + b"x" * 70_000 + b'"}', "metadata_too_large"),
        (b'{"source":"a","source":"b"}', "duplicate_member"),
    ],
)
def test_metadata_of_another_form_are_refused(metadata: bytes, code: str) -> None:
    assert faults_of(b'{"metadata":' + metadata + b',"records":[1]}') == {("/metadata", code)}


def test_a_source_has_at_most_a_hundred_characters() -> None:
    assert opened(with_metadata(source="😀" * 100)).source == "😀" * 100
    assert faults_of(with_metadata(source="x" * 101)) == {("/metadata/source", "too_long")}


@pytest.mark.parametrize(
    "timestamp",
    [
        "2024-03-15T00:00:00Z",
        "2024-03-15T00:00:00.123456Z",
        "2024-03-15T00:00:00+05:30",
        "2024-03-15T00:00:00-12:00",
        "2024-03-15T00:00:00",
        "2024-03-15",
        "2016-12-31T23:59:60Z",
        "20161231T235960Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-14:00",
        "2024-02-29T00:00:00Z",
    ],
)
def test_an_iso_8601_timestamp_is_taken(timestamp: str) -> None:
    assert opened(with_metadata(timestamp=timestamp)).source == "crm"


@pytest.mark.parametrize(
    "timestamp",
    [
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-03-15T24:00:01Z",
        "2024-03-15T10:60:00Z",
        "2024-03-15T10:60",
        "2024-03-15T10:00:61Z",
        "2024-03-15T00:00:00 01:00",
        "15.03.2024",
        "yesterday",
        "1710460800",
        "\ud800",
        "2024-03-15T00:00:00\ud800",
        "\uff12\uff10\uff12\uff14-03-15",
        "2024-03-15T00:00:00Z" * 3000,
    ],
)
def test_any_other_timestamp_is_refused(timestamp: str) -> None:
    assert faults_of(with_metadata(timestamp=timestamp)) == {("/metadata/timestamp", "not_a_timestamp")}
