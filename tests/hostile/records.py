"""Records that a careless or a hostile caller sends: each with the code and the pointer that it must fail with.

A case without a code is a record like any other, however odd it looks: it is stored, and comes back as it was sent.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MARK = "zq7hostile"
"""Stands in every case, so that a search of the logs finds whatever was quoted there."""


@dataclass(frozen=True, slots=True)
class RecordCase:
    """`is_json` False: its text breaks the JSON document around it. As a line of NDJSON it fails alone all the same."""

    name: str
    raw: bytes
    code: str = ""
    pointer: str = ""
    is_json: bool = True

    @property
    def is_one_line(self) -> bool:
        return b"\n" not in self.raw


def record_cases() -> list[RecordCase]:
    """Every case, in an order that does not change."""
    return [
        *_values_that_are_no_record(),
        *_broken_json(),
        *_members(),
        *_ids_and_types(),
        *_custom_fields(),
        *_sizes(),
        *_numbers(),
        *_characters(),
    ]


def raw_record(
    name: str, *, id: str | None = None, type: str = '"customer"', value: str = "1", more: str = ""
) -> bytes:
    """A record as JSON text; `id`, `type` and `value` are JSON texts themselves."""
    identity = json.dumps(f"{MARK} {name}") if id is None else id
    return f'{{"id":{identity},"type":{type},"attributes":{{"{MARK}":{value}}}{more}}}'.encode()


def _values_that_are_no_record() -> Iterator[RecordCase]:
    for value in ("null", "true", "7", f'"{MARK}"', f'["{MARK}"]', "[]", "-0.0"):
        yield RecordCase(f"the value {value}", value.encode(), "not_an_object")
    yield RecordCase("an empty object", b"{}", "missing_member", "/id")


def _broken_json() -> Iterator[RecordCase]:
    whole = raw_record("cut short")
    for end in (1, len(whole) // 2, len(whole) - 1):
        yield RecordCase(f"cut after {end} bytes", whole[:end], "malformed_json", is_json=False)
    broken = {
        "NaN": "NaN",
        "Infinity": "Infinity",
        "minus Infinity": "-Infinity",
        "a leading zero": "01",
        "a plus sign": "+1",
        "no digit before the point": ".5",
        "no digit behind the point": "1.",
        "no digit in the exponent": "1e",
        "a hexadecimal number": "0x10",
        "single quotes": f"'{MARK}'",
        "a comma too many in a list": "[1,]",
        "a comma too many in an object": '{"a":1,}',
        "a comment": "1/* x */",
        "a word that is none": "undefined",
        "capital letters": "TRUE",
        "a raw control character": f'"{MARK}\x01"',
        "a raw tab": f'"{MARK}\t"',
        "an unknown escape": f'"{MARK}\\x41"',
        "an escape cut short": f'"{MARK}\\u12"',
        "two values": '1 "x"',
        "a byte order mark inside": "\ufeff1",
        "a raw NUL outside a string": "\x00",
    }
    for name, value in broken.items():
        yield RecordCase(name, raw_record(name, value=value), "malformed_json", is_json=False)
    for name, text in {
        "a byte that begins nothing": b"\xff",
        "an overlong NUL": b"\xc0\x80",
        "a surrogate in UTF-8": b"\xed\xa0\x80",
        "a character beyond Unicode": b"\xf4\x90\x80\x80",
        "a character cut short": b"\xe2\x82",
        "Latin-1": "ä".encode("latin-1"),
    }.items():
        raw = raw_record(name, value='"@"').replace(b"@", text)
        yield RecordCase(f"{name} in a value", raw, "malformed_json")
        yield RecordCase(
            f"{name} in a name", raw_record(f"n {name}", value='{"@":1}').replace(b"@", text), "malformed_json"
        )
        yield RecordCase(f"{name} in the id", raw_record(name, id='"@"').replace(b"@", text), "malformed_json")


def _members() -> Iterator[RecordCase]:
    for member in ("id", "type", "attributes"):
        raw = json.dumps({name: value for name, value in _whole(member).items() if name != member}).encode()
        yield RecordCase(f"no {member}", raw, "missing_member", f"/{member}")
    for name in ("__proto__", "constructor", "attributes ", "ID", "", MARK):
        more = f',{json.dumps(name)}:{{"x":1}}'
        yield RecordCase(f"a member {name!r}", raw_record(f"m{name}", more=more), "unknown_member", f"/{name}")
    for name in ("__proto__", "constructor", "toString", "", " ", ".", "..", "a/b", "a~b", "$ref", "0"):
        value = json.dumps({name: {"polluted": True}})
        yield RecordCase(f"an attribute {name!r}", raw_record(f"a {name}", value=value))
    doubled = {
        "id": (',"id":"b1"', "/id"),
        "id, spelled with an escape": (',"\\u0069d":"b"', "/id"),
        "type": (',"type":"order"', "/type"),
        "attributes": (',"attributes":{}', "/attributes"),
        "a custom field": (',"customFields":{"a":"1","a":"1"}', "/customFields/a"),
        "a custom field, escaped": (',"customFields":{"a":"1","\\u0061":"1"}', "/customFields/a"),
    }
    for name, (more, pointer) in doubled.items():
        yield RecordCase(f"two of {name}", raw_record(f"two {name}", more=more), "duplicate_member", pointer)
    deep = raw_record("two deep inside", value='[{"a":1,"b":[{"c":1,"c":1}]}]')
    yield RecordCase("two deep inside", deep, "duplicate_member", f"/attributes/{MARK}/0/b/0/c")
    for number, value in enumerate(("null", "[]", '"x"', "7", "true")):
        raw = f'{{"id":"{MARK} attributes {number}","type":"order","attributes":{value}}}'.encode()
        yield RecordCase(f"attributes are {value}", raw, "attributes_not_an_object", "/attributes")


def _whole(name: str) -> dict[str, object]:
    return {"id": f"{MARK} without {name}", "type": "product", "attributes": {}}


def _ids_and_types() -> Iterator[RecordCase]:
    for value in ("7", "0", "1.5", "true", "null", "[]", "{}", '["x"]', f'{{"id":"{MARK}"}}'):
        yield RecordCase(f"the id is {value}", raw_record("", id=value), "id_not_a_string", "/id")
    yield RecordCase("an empty id", raw_record("", id='""'), "id_length", "/id")
    for letter in ("a", "é", "😀"):
        for length in (254, 255):
            text = json.dumps(f"{length}" + letter * (length - 3), ensure_ascii=False)
            yield RecordCase(f"an id of {length} {letter}", raw_record("", id=text))
        for length in (256, 300, 100_000):
            text = json.dumps(letter * length, ensure_ascii=False)
            yield RecordCase(f"an id of {length} {letter}", raw_record("", id=text), "id_length", "/id")
    for value in (
        "null", "7", "[]", "{}", '""', '"Customer"', '"customer "', '"customers"', '"cust\\u006fmers"', f'"{MARK}"',
        '"' + "x" * 100_000 + '"', '"customer\\u0000"', '"\uff43ustomer"',
    ):  # fmt: skip
        yield RecordCase(
            f"the type is {value[:20]}", raw_record(f"type {value[:9]!r}", type=value), "unknown_type", "/type"
        )
    yield RecordCase("a type spelled with escapes", raw_record("escaped type", type='"\\u0063ustomer"'))


_NO_FIELDS: tuple[Any, ...] = (None, [], "x", 7, True)
_NO_TEXTS: tuple[Any, ...] = (None, 7, 1.5, True, [], {}, {"f": MARK})


def _custom_fields() -> Iterator[RecordCase]:
    def case(name: str, fields: object, code: str = "", pointer: str = "") -> RecordCase:
        more = f',"customFields":{json.dumps(fields, ensure_ascii=False)}'
        return RecordCase(name, raw_record(name, more=more), code, pointer)

    for value in _NO_FIELDS:
        yield case(f"custom fields are {value!r}", value, "custom_fields_not_an_object", "/customFields")
    yield case("no custom field", {})
    yield case("50 custom fields", {f"f{number}": "x" for number in range(50)})
    for count in (51, 5_000):
        fields = {f"f{number}": "x" for number in range(count)}
        yield case(f"{count} custom fields", fields, "too_many_custom_fields", "/customFields")
    for letter in ("n", "é", "😀"):
        yield case(f"a name of 256 {letter}", {letter * 256: "x"})
        yield case(
            f"a name of 257 {letter}",
            {letter * 257: "x"},
            "custom_field_name_too_long",
            f"/customFields/{letter * 257}",
        )
        yield case(f"a value of 1024 {letter}", {"f": letter * 1024})
        yield case(f"a value of 1025 {letter}", {"f": letter * 1025}, "custom_field_too_long", "/customFields/f")
    yield case("an empty name and value", {"": ""})
    for value in _NO_TEXTS:
        yield case(f"a custom field is {value!r}", {"f": value}, "custom_field_not_a_string", "/customFields/f")


def _sizes() -> Iterator[RecordCase]:
    mebibyte = 1024 * 1024
    for size, code in ((mebibyte, ""), (mebibyte + 1, "record_too_large")):
        frame = raw_record(f"of {size}", value='"@"')
        yield RecordCase(f"{size} bytes", frame.replace(b"@", b"x" * (size - len(frame) + 1)), code)
    # The record and its attributes are two levels.
    for name, begin, end in (("lists", "[", "]"), ("objects", '{"a":', "}")):
        yield RecordCase(f"64 levels of {name}", raw_record(f"64 {name}", value=begin * 62 + "1" + end * 62))
        for levels in (65, 500):
            inner = levels - 2
            raw = raw_record(f"{levels} {name}", value=begin * inner + "1" + end * inner)
            yield RecordCase(f"{levels} levels of {name}", raw, "too_deep")
        for levels in (5_000, 100_000):
            raw = raw_record(f"{levels} {name}", value=begin * levels + "1" + end * levels)
            yield RecordCase(f"{levels} levels of {name}", raw, "too_deep", is_json=False)
    yield RecordCase("brackets in a text", raw_record("brackets", value=json.dumps("[{" * 1_000)))
    yield RecordCase("10,000 members", raw_record("wide", value=json.dumps({f"n{n}": n for n in range(10_000)})))
    yield RecordCase("white space around everything", b"  " + raw_record("spaced", value=" [ 1 , 2 ] ") + b"\t ")


def _numbers() -> Iterator[RecordCase]:
    for text in (
        "0", "-0", "-0.0", "1.0", "1.50", "1e5", "1E+5", "1e-5", "1e400", "-1e999", "1e99999", "1e-99999", "0e0",
        "0.1000000000000000055511151231257827021181583404541015625", "9007199254740993", "18446744073709551616",
        "-9223372036854775809", "1" * 400, "1" * 4_000, "1" * 4_300, "0." + "1" * 5_000,
    ):  # fmt: skip
        yield RecordCase(f"the number {text[:24]} of {len(text)}", raw_record(f"n {text[:9]} {len(text)}", value=text))
    for digits in (4_301, 5_000, 100_000):
        raw = raw_record(f"{digits} digits", value="1" * digits)
        yield RecordCase(f"a number of {digits} digits", raw, "number_too_long")


def _characters() -> Iterator[RecordCase]:
    for name, text in {
        "half a pair": "\\ud83d",
        "the second half of a pair": "\\udc00",
        "a pair the wrong way round": "\\udc00\\ud83d",
        "half a pair and a letter": "\\uD800\\u0041",
        "two first halves": "\\ud83d\\ud83d",
    }.items():
        yield from _in_every_place(name, text, "lone_surrogate", shown=text.count("\\u") - text.count("0041"))
    yield from _in_every_place("NUL", "\\u0000", "nul_character", shown=1)
    for name, text in {
        "DEL": "\x7f",
        "escaped controls": "\\u0001\\b\\f\\n\\r\\t\\u001b[31m\\u0085",
        "a byte order mark": "\ufeff",
        "noncharacters": "\ufffe\uffff\U0001fffe\U0010ffff\ufdd0",
        "private use": "\ue000\U000f0000",
        "right to left": "\u202eevil\u202c \u2067x\u2069 שלום مرحبا",
        "zero width": "a\u200bb\u200cc\u200dd\u2060e\u00adf",
        "emoji joined": "👩‍👩‍👧‍👦🏳️‍🌈🇩🇪",
        "marks upon marks": "Z" + "\u0335\u0351\u0489" * 70,
        "line separators": "a\u2028b\u2029c",
        "full width": "\uff33\uff25\uff2c \uff0f \uff1cscript\uff1e",
        "case that changes length": "\u0130 \u00df \ufb01 \u01c5",
        "a formula": "=cmd|' /C calc'!A0",
        "SQL": "'; DROP TABLE imports_record; -- \\\\ $$ %s %(x)s",
        "a script": "<script>alert(1)</script><img src=x onerror=alert(1)>",
        "a template": "{{7*7}} ${7*7} #{7*7} %{7*7} {0.__class__}",
        "a path": "../../../../etc/passwd",
        "a log entry": "\\r\\n2026-01-01 ERROR forged=1",
    }.items():
        shown = f'"{MARK} {text}"'
        yield RecordCase(f"{name} in a value", raw_record(name, value=shown))
        yield RecordCase(f"{name} in a name", raw_record(f"n {name}", value=f"{{{shown}:1}}"))
        yield RecordCase(f"{name} in the id", raw_record("", id=shown))
        yield RecordCase(
            f"{name} in a custom field", raw_record(f"c {name}", more=f',"customFields":{{{shown}:{shown}}}')
        )


def _in_every_place(name: str, text: str, code: str, *, shown: int) -> Iterator[RecordCase]:
    """`shown` question marks stand in a pointer for what no pointer could carry."""
    marks = "?" * shown + ("A" if "0041" in text else "")
    places = {
        "a value": (raw_record(f"{name} v", value=f'"{text}"'), f"/attributes/{MARK}"),
        "a name": (raw_record(f"{name} n", value=f'{{"x{text}":1}}'), f"/attributes/{MARK}/x{marks}"),
        "a list": (raw_record(f"{name} l", value=f'[1,["{text}"]]'), f"/attributes/{MARK}/1/0"),
        "the id": (raw_record("", id=f'"{MARK}{text}"'), "/id"),
        "a custom field": (raw_record(f"{name} c", more=f',"customFields":{{"f":"{text}"}}'), "/customFields/f"),
        "a custom field's name": (
            raw_record(f"{name} f", more=f',"customFields":{{"x{text}":"1"}}'),
            f"/customFields/x{marks}",
        ),
    }
    for place, (raw, pointer) in places.items():
        yield RecordCase(f"{name} in {place}", raw, code, pointer)
