"""JSON and NDJSON bodies: split to the byte, refused with a place, read quickly whatever they hold."""

import json
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imports import json_document
from imports.envelope import NDJSON
from tests.imports.bodies import HEAD, MANY, METADATA, Quick, faults_of, opened, records_of, refusal_of
from tests.imports.documents import Members, searching, spell, trees


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
