"""The metadata around the records."""

import json
from typing import Any

import pytest

from imports.envelope import JSON, NDJSON, open_opening
from imports.refusal import Refusal
from tests.imports.bodies import HEAD, METADATA, faults_of, opened, refusal_of


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
