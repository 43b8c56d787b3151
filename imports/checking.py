"""The specification's rules for one record.

Two readings of the same rules: `read` is the hot path (one typed decode), `diagnose` explains a refusal in full.
tests/imports/test_checking.py holds them to agree on every input.
"""

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

MAX_RECORD_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 64
MAX_ID_LENGTH: Final = 255
MAX_CUSTOM_FIELDS: Final = 50
MAX_NAME_LENGTH: Final = 256
MAX_VALUE_LENGTH: Final = 1024
MAX_PROBLEMS: Final = 20
TYPES: Final = ("customer", "order", "product")

CODES: Final[dict[str, str]] = {
    "malformed_json": "This is not a JSON value.",
    "not_an_object": "A record is a JSON object.",
    "record_too_large": f"A record may have at most {MAX_RECORD_BYTES} bytes.",
    "too_deep": f"A record may be nested at most {MAX_DEPTH} levels deep.",
    "duplicate_member": "A member stands twice in the same object; which one counts cannot be known.",
    "unknown_member": "A record has id, type, attributes and customFields, and nothing else.",
    "missing_member": "This member is required.",
    "id_not_a_string": "The id must be a string.",
    "id_length": f"The id must have 1 to {MAX_ID_LENGTH} characters.",
    "unknown_type": "The type must be customer, order or product.",
    "attributes_not_an_object": "attributes must be a JSON object.",
    "custom_fields_not_an_object": "customFields must be a JSON object.",
    "too_many_custom_fields": f"A record may have at most {MAX_CUSTOM_FIELDS} custom fields.",
    "custom_field_name_too_long": f"A custom field's name may have at most {MAX_NAME_LENGTH} characters.",
    "custom_field_not_a_string": "A custom field's value must be a string.",
    "custom_field_too_long": f"A custom field's value may have at most {MAX_VALUE_LENGTH} characters.",
    "nul_character": "The NUL character cannot be stored.",
    "lone_surrogate": "Half of a surrogate pair is not a character.",
    "number_too_long": "A whole number may have at most 4300 digits.",
}
"""Every code a record can fail with at this stage, and the message shown for it."""


class Record(Struct, forbid_unknown_fields=True):
    """One record as the specification shapes it. Numbers with a fraction or exponent are kept as their raw text.

    No custom fields is the same as an empty object: both are unset here.
    """

    id: Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]
    type: Literal["customer", "order", "product"]
    attributes: dict[str, Any]
    customFields: (
        Annotated[
            dict[
                Annotated[str, Meta(max_length=MAX_NAME_LENGTH)],
                Annotated[str, Meta(max_length=MAX_VALUE_LENGTH)],
            ],
            Meta(max_length=MAX_CUSTOM_FIELDS),
        ]
        | UnsetType
    ) = UNSET


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a record is refused: a code of CODES and a JSON Pointer to the fault, for the record's owner alone."""

    code: str
    pointer: str

    @property
    def place(self) -> str:
        """The pointer for everyone else: names that the caller chose may be personal, so each stands as `*`."""
        steps = self.pointer.split("/")[1:]
        if not steps:
            return ""
        first = steps[0] if steps[0] in Record.__struct_fields__ else "*"
        return "/" + "/".join([first, *("*" for _ in steps[1:])])

    @property
    def message(self) -> str:
        return CODES[self.code]


class Refused(Exception):
    """The record breaks the rules; `problems` holds at least one and at most MAX_PROBLEMS."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems[0].code)
        self.problems = problems


_decode = msgspec.json.Decoder(Record, float_hook=Raw).decode
encode = msgspec.json.Encoder(order="sorted").encode
"""A record's canonical form: compact JSON, members sorted, numbers with the digits they came with."""

_WHITE_SPACE: Final = b" \t\n\r"


def read(raw: bytes | memoryview) -> tuple[Record, bytes]:
    """(record, its canonical form); raises Refused.

    Encoding never makes a record longer: numbers keep their text, escapes get shorter, and a member is lost only where
    it stood twice. So equal lengths without white space prove that none stood twice; all else is read again to see.
    """
    raw = bytes(raw)
    try:
        record = _decode(raw)
    except (ValueError, RecursionError):
        raise Refused(diagnose(raw) or [Problem("malformed_json", "")]) from None
    canonical = encode(record)
    if (
        (len(raw) != len(canonical) and not _same_without_white_space(raw, canonical) and _has_duplicates(raw))
        or b"\\u0000" in raw
        or len(raw) > MAX_RECORD_BYTES
        or raw.count(b"{") + raw.count(b"[") > MAX_DEPTH
    ):
        problems = diagnose(raw)
        if problems:
            raise Refused(problems)
    if not record.customFields and record.customFields is not UNSET:
        record.customFields = UNSET
        canonical = encode(record)
    return record, canonical


def diagnose(raw: bytes) -> list[Problem]:
    """Every rule that the record breaks, in reading order; empty where it breaks none."""
    if len(raw) > MAX_RECORD_BYTES:
        return [Problem("record_too_large", "")]
    reader = _Reader()
    try:
        text = raw.decode()
        if _depth(text) > MAX_DEPTH:
            return [Problem("too_deep", "")]
        value = reader.decode(text)
    except _NumberTooLong:
        return [Problem("number_too_long", "")]
    except (ValueError, RecursionError):
        return [Problem("malformed_json", "")]
    if not isinstance(value, dict):
        return [Problem("not_an_object", "")]
    problems = [*_shape(value), *_text(value, "")]
    problems += [Problem("duplicate_member", _find(value, twice)) for twice in reader.duplicates]
    return problems[:MAX_PROBLEMS]


def identity(raw: bytes | memoryview) -> tuple[str | None, str]:
    """(id, type) as far as they can be read: None for no usable id, an empty string for no type of TYPES."""
    try:
        found = _decode_identity(raw)
    except (ValueError, RecursionError):
        return None, ""
    usable = isinstance(found.id, str) and 1 <= len(found.id) <= MAX_ID_LENGTH
    return (
        found.id if usable else None,
        found.type if isinstance(found.type, str) and found.type in TYPES else "",
    )


class _Identity(Struct):
    id: Any = None
    type: Any = None


_decode_identity = msgspec.json.Decoder(_Identity).decode


def _same_without_white_space(raw: bytes, canonical: bytes) -> bool:
    return len(raw.translate(None, _WHITE_SPACE)) == len(canonical.translate(None, _WHITE_SPACE))


class _DuplicateMember(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _DuplicateMember
    return members


_decode_unique = json.JSONDecoder(object_pairs_hook=_unique, parse_float=str).decode


def _has_duplicates(raw: bytes) -> bool:
    """True also where this reader cannot say: then the closer look decides."""
    try:
        _decode_unique(raw.decode())
    except (_DuplicateMember, ValueError, RecursionError):
        return True
    return False


def _shape(value: dict[str, Any]) -> list[Problem]:
    problems = [Problem("unknown_member", _pointer("", name)) for name in value if name not in Record.__struct_fields__]
    problems += [Problem("missing_member", f"/{name}") for name in ("id", "type", "attributes") if name not in value]
    if "id" in value:
        if not isinstance(value["id"], str):
            problems.append(Problem("id_not_a_string", "/id"))
        elif not 1 <= len(value["id"]) <= MAX_ID_LENGTH:
            problems.append(Problem("id_length", "/id"))
    if "type" in value and (not isinstance(value["type"], str) or value["type"] not in TYPES):
        problems.append(Problem("unknown_type", "/type"))
    if "attributes" in value and not isinstance(value["attributes"], dict):
        problems.append(Problem("attributes_not_an_object", "/attributes"))
    if "customFields" in value:
        problems += _custom_fields(value["customFields"])
    return problems


def _custom_fields(fields: Any) -> list[Problem]:
    if not isinstance(fields, dict):
        return [Problem("custom_fields_not_an_object", "/customFields")]
    problems = []
    if len(fields) > MAX_CUSTOM_FIELDS:
        problems.append(Problem("too_many_custom_fields", "/customFields"))
    for name, value in fields.items():
        pointer = _pointer("/customFields", name)
        if len(name) > MAX_NAME_LENGTH:
            problems.append(Problem("custom_field_name_too_long", pointer))
        if not isinstance(value, str):
            problems.append(Problem("custom_field_not_a_string", pointer))
        elif len(value) > MAX_VALUE_LENGTH:
            problems.append(Problem("custom_field_too_long", pointer))
    return problems


def _text(value: Any, pointer: str) -> list[Problem]:
    """NUL and lone surrogates, in names and values, at any depth."""
    if isinstance(value, str):
        if "\0" in value:
            return [Problem("nul_character", pointer)]
        return [Problem("lone_surrogate", pointer)] if _has_lone_surrogate(value) else []
    problems: list[Problem] = []
    if isinstance(value, dict):
        for name, member in value.items():
            inner = _pointer(pointer, name)
            problems += _text(name, inner)
            problems += _text(member, inner)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            problems += _text(member, f"{pointer}/{index}")
    return problems


def _has_lone_surrogate(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def _pointer(parent: str, name: str) -> str:
    """A JSON Pointer (RFC 6901) one level down. What no pointer could carry as text stands as a question mark."""
    name = name.replace("\0", "?").encode(errors="replace").decode()
    return parent + "/" + name.replace("~", "~0").replace("/", "~1")


def _depth(text: str) -> int:
    """How deep objects and lists are nested, without recursion, strings left out."""
    deepest = depth = 0
    for bracket in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', text):
        found = bracket.group()
        if found in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif found in "]}":
            depth -= 1
    return deepest


def _find(value: Any, wanted: "_Twice", pointer: str = "") -> str:
    """Where in the document the object with the doubled member stands."""
    if value is wanted.owner:
        return _pointer(pointer, wanted.name)
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        found = _find(member, wanted, _pointer(pointer, name) if isinstance(name, str) else f"{pointer}/{name}")
        if found:
            return found
    return ""


@dataclass(frozen=True, slots=True)
class _Twice:
    owner: dict[str, Any]
    name: str


class _NumberTooLong(ValueError):
    pass


class _Reader:
    """Python's own JSON reader, strict, noting members that stand twice."""

    def __init__(self) -> None:
        self.duplicates: list[_Twice] = []
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_int=self._integer,
            parse_constant=self._constant,
        )

    def decode(self, text: str) -> Any:
        return self._decoder.decode(text)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            seen: set[str] = set()
            for name, _ in pairs:
                if name in seen:
                    self.duplicates.append(_Twice(members, name))
                seen.add(name)
        return members

    @staticmethod
    def _integer(digits: str) -> int:
        try:
            return int(digits)
        except ValueError:
            raise _NumberTooLong from None

    @staticmethod
    def _constant(name: str) -> None:
        raise ValueError(name)
