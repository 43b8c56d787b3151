from typing import Annotated, Literal

import pytest
from msgspec import Meta, Struct

from imports.api.bodies import json_body
from imports.api.call import SignedCall
from imports.api.problems import Problem

SECRET = "somebody@example.com"


class Inner(Struct, forbid_unknown_fields=True):
    count: Annotated[int, Meta(ge=1)] = 1


class Wanted(Struct, forbid_unknown_fields=True):
    type: Literal["customer", "order"]
    id: Annotated[str, Meta(min_length=1, max_length=10)]
    parts: list[Inner] = []


def read(body: str | bytes) -> Wanted:
    content = body.encode() if isinstance(body, str) else body
    return json_body(SignedCall(1, 2, "bk_12345678", frozenset(), "", content, "", 0, "", ""), type=Wanted)


def test_a_right_body_is_decoded() -> None:
    assert read('{"type":"order","id":"1","parts":[{"count":2}]}') == Wanted("order", "1", [Inner(2)])


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ("[]", "", "wrong_value"),
        ('{"type":"order"}', "/id", "missing_member"),
        (f'{{"type":"{SECRET}","id":"1"}}', "/type", "wrong_value"),
        (f'{{"type":"order","id":"{SECRET}"}}', "/id", "wrong_value"),
        ('{"type":"order","id":1}', "/id", "wrong_value"),
        (f'{{"type":"order","id":"1","{SECRET}":1}}', "", "unknown_member"),
        ('{"type":"order","id":"1","parts":[{},{"count":0}]}', "/parts/1/count", "wrong_value"),
        (f'{{"type":"order","id":"1","parts":[{{"{SECRET}":0}}]}}', "/parts/0", "unknown_member"),
    ],
)
def test_a_wrong_value_is_pointed_at_and_not_quoted(body: str, pointer: str, code: str) -> None:
    with pytest.raises(Problem) as refusal:
        read(body)
    (flaw,) = refusal.value.errors
    assert (refusal.value.code, flaw.pointer, flaw.code) == ("invalid_body", pointer, code)
    assert SECRET not in str(flaw)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"type":"order","id":"1"}x',
        b"\xff",
        b'{"type":"\xff"}',
        b'\xef\xbb\xbf{"type":"order","id":"1"}',
        b"NaN",
        f"{{{SECRET}}}".encode(),
    ],
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(Problem) as refusal:
        read(body)
    assert refusal.value.code == "malformed_json"
    assert SECRET not in refusal.value.detail


@pytest.mark.parametrize("depth", [1_000, 100_000, 1_000_000])
def test_nesting_is_no_crash(depth: int) -> None:
    for body in (b"[" * depth, b'{"type":"order","id":"1","parts":' + b"[" * depth, b'{"x":' * depth):
        with pytest.raises(Problem):
            read(body)
