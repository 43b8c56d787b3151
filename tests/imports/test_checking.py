import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imports import checking
from imports.checking import Problem, Refused, diagnose, identity, read
from tests.imports.documents import (
    Members,
    Number,
    has_doubled_member,
    plain,
    scalars,
    searching,
    spellings,
    spellings_of,
    texts,
    trees,
)

VALID = b'{"id":"A-1","type":"order","attributes":{}}'


def problems_of(raw: bytes) -> list[Problem]:
    """What `read` refuses the record for; fails where the two readings of the rules disagree."""
    found = diagnose(raw)
    try:
        read(raw)
    except Refused as refused:
        assert refused.problems == found
        assert str(refused) == found[0].code
        return found
    assert found == []
    return []


def codes_of(raw: bytes) -> set[str]:
    return {problem.code for problem in problems_of(raw)}


def with_attributes(attributes: bytes) -> bytes:
    return b'{"id":"A-1","type":"order","attributes":' + attributes + b"}"


def with_custom_fields(fields: Any) -> bytes:
    return json.dumps({"id": "A-1", "type": "order", "attributes": {}, "customFields": fields}).encode()


def nested(levels: int) -> bytes:
    """A record so deep, the record itself counted."""
    return with_attributes(b'{"a":' + b"[" * (levels - 2) + b"]" * (levels - 2) + b"}")


@st.composite
def nearly_records(draw: st.DrawFn) -> Members:
    """Records that are often right and often wrong in one way."""
    named = st.tuples(texts, texts | scalars)
    members = [
        ("id", draw(texts | scalars)),
        ("type", draw(st.sampled_from(["customer", "order", "product", "Order", ""]) | scalars)),
        ("attributes", Members([("a", draw(trees()))])),
        ("customFields", draw(st.lists(named, max_size=3).map(Members) | scalars)),
        ("extra", draw(scalars)),
    ]
    kept = draw(st.sampled_from([3, 4, 4, 4, 5]))
    doubled = draw(st.sampled_from([0, 0, 0, 1]))
    return Members(draw(st.permutations(members[:kept] + members[:doubled])))


@st.composite
def valid_records(draw: st.DrawFn) -> Members:
    """Records that break no rule, except perhaps that a member stands twice."""
    custom_fields = st.lists(st.tuples(texts, texts), max_size=3).map(Members)
    members = [
        ("id", draw(texts.filter(bool))),
        ("type", draw(st.sampled_from(checking.TYPES))),
        ("attributes", Members([("a", draw(trees())), ("b", draw(trees()))])),
        ("customFields", draw(custom_fields)),
    ]
    return Members(draw(st.permutations(members)))


SPLICES = st.binary(max_size=3) | st.sampled_from(
    [
        *(
            rb"\ud800",
            rb"\udc00",
            rb"\u0000",
            rb"\u006",
            b"\\",
            b'"',
            b"{",
            b"}",
            b"[",
            b",",
            b"-0",
            b"1e9",
            b"01",
            b"NaN",
        ),
        *(b"-Infinity", b"\0", b"\x0c", b"\x7f", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
    ]
)


@searching
@given(st.data())
def test_both_readings_agree_on_records_that_were_tampered_with(data: st.DataObject) -> None:
    raw = bytearray(data.draw(nearly_records().flatmap(spellings)).encode())
    problems_of(bytes(raw))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(SPLICES)
    problems_of(bytes(raw))


@searching
@given(st.binary(max_size=60) | st.text(st.sampled_from('{}[]",:\\u0d8cFid-+.eE12 \n'), max_size=30).map(str.encode))
def test_both_readings_agree_on_arbitrary_bytes(raw: bytes) -> None:
    problems_of(raw)


@searching
@given(st.data())
def test_a_member_that_stands_twice_is_always_found(data: st.DataObject) -> None:
    record = data.draw(valid_records())
    raw = data.draw(spellings(record)).encode()
    assert codes_of(raw) == ({"duplicate_member"} if has_doubled_member(record) else set())


@searching
@given(st.data())
def test_a_stored_record_says_what_was_sent(data: st.DataObject) -> None:
    record = data.draw(valid_records().filter(lambda record: not has_doubled_member(record)))
    _, canonical = read(data.draw(spellings(record)).encode())
    sent = plain(record)
    if not sent["customFields"]:
        del sent["customFields"]
    kept = json.loads(canonical, parse_int=Number, parse_float=Number)
    assert kept == json.loads(json.dumps(sent).replace('"-0"', '"0"')) | {"type": sent["type"]}
    assert read(canonical)[1] == canonical


@searching
@given(st.data())
def test_no_spelling_is_shorter_than_the_canonical_one(data: st.DataObject) -> None:
    """`read` relies on it: of two equally long texts, the canonical one has lost no member."""
    tree = data.draw(trees().filter(lambda tree: not has_doubled_member(tree)))
    raw = data.draw(spellings(tree, spaced=False)).encode()
    read_back = msgspec.json.Decoder(float_hook=msgspec.Raw).decode(raw)
    assert len(checking.encode(read_back)) <= len(raw)


def test_every_character_that_needs_no_escape_is_encoded_as_itself() -> None:
    """Its own bytes are the shortest way to write it: an escape has six or, for a pair, twelve."""
    characters = (chr(number) for number in range(0x20, 0x110000) if not 0xD800 <= number < 0xE000)
    text = "".join(character for character in characters if character not in '"\\')
    assert msgspec.json.encode(text) == b'"' + text.encode() + b'"'


@pytest.mark.parametrize("character", [*map(chr, range(0x20)), '"', "\\", "/", "\x7f"])
def test_every_spelling_of_an_escaped_character_is_read_as_it(character: str) -> None:
    for way in spellings_of(character):
        encoded = msgspec.json.encode(msgspec.json.decode(f'{{"{way}":"{way}"}}'))
        assert json.loads(encoded) == {character: character}
        assert len(encoded) <= len(f'{{"{way}":"{way}"}}')


@pytest.mark.parametrize(
    "attributes",
    [
        rb'{"a":1,"a":1}',
        rb'{"a":1,"\u0061":1}',
        rb'{ "a" : 1 , "a" : 1 }',
        rb'{"/":1,"\/":1}',
        rb'{"\b":1,"\u0008":1}',
        rb'{"\f":1,"\u000C":1}',
        rb'{"\ud83d\ude00":1,"' + "😀".encode() + rb'":1}',
        rb'{"a":{"b":[[{"c":"","c":""}]]}}',
        rb'{"a":{"x":1,"x":2},"a":1}',
        rb'{"":1,"":1}',
        rb'{"a":"          ","a":"\u0020"}',
        rb'{"a":1,"b":"\u0061\u0061\u0061\u0061","a":1}',
        rb'{"a":-0,"a":-0}',
        rb'{"a":1e400,"a":1e400}',
    ],
)
def test_a_doubled_attribute_is_found_in_every_spelling(attributes: bytes) -> None:
    assert codes_of(with_attributes(attributes)) == {"duplicate_member"}


def test_a_doubled_member_of_the_record_itself_is_found() -> None:
    raw = rb'{"id":"A-1","type":"order","attributes":{},"\u0069d":"A-2"}'
    assert problems_of(raw) == [Problem("duplicate_member", "/id")]


def test_composed_and_decomposed_names_are_two_members() -> None:
    assert problems_of(with_attributes('{"\u00e9":1,"e\u0301":1}'.encode())) == []


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("1.50", "1.50"),
        ("1e400", "1e400"),
        ("-1e999", "-1e999"),
        ("1E+5", "1E+5"),
        ("0.0", "0.0"),
        ("-0.0", "-0.0"),
        ("18446744073709551616", "18446744073709551616"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("9" * 4300, "9" * 4300),
        ("-0", "0"),
    ],
)
def test_a_number_keeps_the_digits_it_came_with(sent: str, stored: str) -> None:
    _, canonical = read(with_attributes(b'{"n":' + sent.encode() + b"}"))
    assert canonical == b'{"attributes":{"n":' + stored.encode() + b'},"id":"A-1","type":"order"}'


@pytest.mark.parametrize("number", ["01", "+1", ".5", "1.", "1e", "-", "NaN", "Infinity", "-Infinity", "0x1"])
def test_what_is_no_json_number_is_malformed(number: str) -> None:
    assert codes_of(with_attributes(b'{"n":' + number.encode() + b"}")) == {"malformed_json"}


def test_a_whole_number_of_4301_digits_is_refused() -> None:
    assert codes_of(with_attributes(b'{"n":' + b"9" * 4301 + b"}")) == {"number_too_long"}


@pytest.mark.parametrize("value", [b"0.5", b"1e400", b"7", b"true", b"null", b"[]", b"{}"])
def test_an_id_or_a_custom_field_that_is_no_string_is_named_as_that(value: bytes) -> None:
    record = b'{"id":' + value + b',"type":"order","attributes":{},"customFields":{"a":' + value + b"}}"
    assert problems_of(record) == [
        Problem("id_not_a_string", "/id"),
        Problem("custom_field_not_a_string", "/customFields/a"),
    ]


@pytest.mark.parametrize("escape", [r"\ud800", r"\udc00", r"\udc00\ud800", r"\ud800\ud800", r"\uDBFF\u0041"])
def test_half_a_surrogate_pair_is_refused_wherever_it_stands(escape: str) -> None:
    assert problems_of(VALID.replace(b"A-1", escape.encode())) == [Problem("lone_surrogate", "/id")]
    in_value = with_attributes(f'{{"a":["{escape}"]}}'.encode())
    assert problems_of(in_value) == [Problem("lone_surrogate", "/attributes/a/0")]
    assert codes_of(with_attributes(f'{{"{escape}":1}}'.encode())) == {"lone_surrogate"}
    custom_field = VALID[:-1] + f',"customFields":{{"{escape}":"{escape}"}}}}'.encode()
    assert codes_of(custom_field) == {"lone_surrogate"}


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert problems_of(with_attributes(rb'{"\ud83d\ude00":"\uD83D\uDE00"}')) == []


def test_nul_is_refused_wherever_it_stands() -> None:
    assert problems_of(VALID.replace(b"A-1", rb"\u0000")) == [Problem("nul_character", "/id")]
    assert codes_of(with_attributes(rb'{"a":[{"b":"x\u0000"}]}')) == {"nul_character"}
    assert codes_of(with_attributes(rb'{"a\u0000":1}')) == {"nul_character"}
    assert problems_of(with_attributes(rb'{"a":"\\u0000"}')) == []
    assert codes_of(with_attributes(b'{"a":"\0"}')) == {"malformed_json"}


def test_64_levels_pass_and_65_do_not() -> None:
    assert problems_of(nested(64)) == []
    assert problems_of(nested(65)) == [Problem("too_deep", "")]
    assert problems_of(nested(100_000)) == [Problem("too_deep", "")]
    assert problems_of(with_attributes(b'{"a":"' + b"[{" * 100 + b'"}')) == []
    assert problems_of(with_attributes(rb'{"a":"\"' + b"[{" * 100 + b'"}')) == []
    assert problems_of(with_attributes(b'{"a":[' + b"[]," * 100 + b"[]]}")) == []


def test_a_record_of_one_mebibyte_passes_and_one_byte_more_does_not() -> None:
    empty = len(with_attributes(b'{"a":""}'))
    largest = with_attributes(b'{"a":"' + b"x" * (checking.MAX_RECORD_BYTES - empty) + b'"}')
    assert len(largest) == checking.MAX_RECORD_BYTES
    assert problems_of(largest) == []
    assert problems_of(largest + b" ") == [Problem("record_too_large", "")]


@pytest.mark.parametrize("character", ["x", "é", "😀"])
def test_lengths_are_counted_in_code_points(character: str) -> None:
    def with_id(length: int) -> bytes:
        return VALID.replace(b"A-1", (character * length).encode())

    assert codes_of(with_id(255)) == set()
    assert codes_of(with_id(256)) == {"id_length"}
    assert codes_of(with_custom_fields({character * 256: character * 1024})) == set()
    assert codes_of(with_custom_fields({character * 257: ""})) == {"custom_field_name_too_long"}
    assert codes_of(with_custom_fields({"a": character * 1025})) == {"custom_field_too_long"}


def test_an_empty_id_is_refused() -> None:
    assert problems_of(VALID.replace(b"A-1", b"")) == [Problem("id_length", "/id")]


def test_fifty_custom_fields_pass_and_51_do_not() -> None:
    assert codes_of(with_custom_fields({f"f{number}": "" for number in range(50)})) == set()
    assert codes_of(with_custom_fields({f"f{number}": "" for number in range(51)})) == {"too_many_custom_fields"}


def test_no_custom_fields_and_an_empty_object_are_the_same_record() -> None:
    assert read(with_custom_fields({}))[1] == read(VALID)[1]


@pytest.mark.parametrize(
    ("raw", "problems"),
    [
        (b"null", [Problem("not_an_object", "")]),
        (b"[]", [Problem("not_an_object", "")]),
        (b'"text"', [Problem("not_an_object", "")]),
        (b"", [Problem("malformed_json", "")]),
        (b" ", [Problem("malformed_json", "")]),
        (b"\xef\xbb\xbf" + VALID, [Problem("malformed_json", "")]),
        (VALID.decode().encode("utf-16"), [Problem("malformed_json", "")]),
        (VALID + b"{}", [Problem("malformed_json", "")]),
        (VALID.replace(b"A-1", b"\xff"), [Problem("malformed_json", "")]),
        (VALID.replace(b"order", b"ORDER"), [Problem("unknown_type", "/type")]),
        (VALID.replace(b'"order"', b"1"), [Problem("unknown_type", "/type")]),
        (VALID.replace(b"{}", b"[]"), [Problem("attributes_not_an_object", "/attributes")]),
        (VALID.replace(b"{}", b"null"), [Problem("attributes_not_an_object", "/attributes")]),
        (with_custom_fields(None), [Problem("custom_fields_not_an_object", "/customFields")]),
        (with_custom_fields([]), [Problem("custom_fields_not_an_object", "/customFields")]),
        (
            b"{}",
            [Problem("missing_member", f"/{name}") for name in ("id", "type", "attributes")],
        ),
        (VALID.replace(b"}}", b'},"a~/b":1}'), [Problem("unknown_member", "/a~0~1b")]),
    ],
)
def test_each_fault_has_its_code_and_its_place(raw: bytes, problems: list[Problem]) -> None:
    assert problems_of(raw) == problems


def test_at_most_twenty_problems_are_listed() -> None:
    assert len(problems_of(with_custom_fields({f"f{number}": number for number in range(60)}))) == 20


@searching
@given(st.data())
def test_a_place_and_a_message_quote_nothing_that_the_caller_chose(data: st.DataObject) -> None:
    agreed = {"id", "type", "attributes", "customFields", "*"}
    for problem in diagnose(data.draw(nearly_records().flatmap(spellings)).encode()):
        assert problem.message == checking.CODES[problem.code]
        assert problem.place == "" or set(problem.place[1:].split("/")) <= agreed
        assert problem.place.count("/") == problem.pointer.count("/")
        assert problem.place.split("/")[1:2] in ([], ["*"], problem.pointer.split("/")[1:2])


def test_a_pointer_is_no_longer_than_a_thousand_characters() -> None:
    long_name = "n" * 2000
    raw = json.dumps({"id": "A-1", "type": "order", "attributes": {"a": {long_name: {"b": "\0"}}}}).encode()
    assert problems_of(raw) == [Problem("nul_character", "/attributes/a")]


MIB = 1_000_000
HOSTILE = {
    "quotes that never end": b'"' + b'\\"' * (MIB // 2),
    "backslashes": b'"' + b"\\" * MIB,
    "brackets": b"[" * MIB,
    "lists that never end": b'["a",' * (MIB // 5),
    "doubled members": with_attributes(b'{"a":[' + b",".join([b'{"x":1,"x":2}'] * (MIB // 14)) + b"]}"),
    "one member over and over": with_attributes(b"{" + b",".join([b'"x":1'] * (MIB // 6)) + b"}"),
    "unknown members": b"{" + b",".join(b'"%d":0' % number for number in range(MIB // 10)) + b"}",
    "a long name above much": with_attributes(
        b'{"%s":[%s"\\u0000"]}' % (b"n" * (MIB // 2), b"0," * (MIB // 4 - 100)),
    ),
    "many NULs": with_attributes(b'{"a":[' + b'"\\u0000",' * (MIB // 9) + b"0]}"),
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_record_is_refused_in_about_a_second(raw: bytes) -> None:
    begun = time.process_time()
    assert diagnose(raw)
    assert time.process_time() - begun < 5  # what grows with the square of the length takes minutes


def test_an_identity_is_read_from_a_record_that_is_refused() -> None:
    assert identity(b'{"id":"A-1","type":"order"}') == ("A-1", "order")
    assert identity(b'{"id":"A-1","type":"pear"}') == ("A-1", "")
    assert identity(b'{"id":7,"type":"order"}') == (None, "order")
    assert identity(b'{"id":"' + b"x" * 256 + b'","type":"order"}') == (None, "order")
    assert identity(b'{"id":"","type":["order"]}') == (None, "")
    assert identity(b'{"id":') == (None, "")
    assert identity(b"[1]") == (None, "")
    assert identity(nested(65)) == ("A-1", "order")
    assert identity(nested(100_000)) == (None, "")
    assert identity(VALID[:-1] + rb',"customFields":{"a":"\ud83d"}}') == ("A-1", "order")
    assert identity(rb'{"id":"\ud83d","type":"order"}') == (None, "order")
