"""The specification's rules for one record.

Two readings of the same rules: `read` is the hot path (one typed decode), `diagnose` explains a refusal in full.
tests/imports/test_checking.py holds them to agree on every input.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
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
MAX_POINTER_LENGTH: Final = 1000
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
    "kills_worker": "Three processes ended over this record alone, most of them by a crash.",
    "internal_error": "Storing this record failed three times through a fault of this server. Ask its operator.",
}
"""Every code a record can fail with at this stage, and the message shown for it."""

STORE_CODES: Final[dict[str, str]] = {
    "worker_stopped": "Every worker that tried this record stopped before it was done.",
    "lock_timeout": "The record was in use elsewhere for too long.",
    "statement_timeout": "The database took too long over this record.",
    "limit_exceeded": "A limit of this server was used up, such as a worker's memory or time.",
}
"""Reasons that lie with the server: such a record is tried again by itself."""


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


Stage = Literal["check", "map", "validate", "store"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a record is refused: a code, and a JSON Pointer into the record as sent, for the record's owner alone.

    Where the pointer would have more than MAX_POINTER_LENGTH characters it names the nearest place above that has not.
    The other members are of a mapping, and empty where CODES or STORE_CODES say all: `target` is where the fault is in
    the mapped record, `shown` the place for everyone else, `text` the message. Stored problems are read back by these
    names.
    """

    code: str
    pointer: str
    target: str = ""
    mapping_stage: Literal["", "map", "validate"] = ""
    shown: str = ""
    text: str = ""

    @property
    def stage(self) -> Stage:
        return self.mapping_stage or ("check" if self.code in CODES else "store")

    @property
    def place(self) -> str:
        """The pointer for everyone else: names that the caller chose may be personal, so each stands as `*`."""
        if self.mapping_stage:
            return self.shown
        steps = self.pointer.split("/")[1:]
        if not steps:
            return ""
        first = steps[0] if steps[0] in Record.__struct_fields__ else "*"
        return "/" + "/".join([first, *("*" for _ in steps[1:])])

    @property
    def message(self) -> str:
        return self.text or CODES.get(self.code) or STORE_CODES[self.code]


class Refused(Exception):
    """The record breaks the rules; `problems` holds at least one and at most MAX_PROBLEMS.

    `unfit` are the places in the mapping of the fields whose value could not become what they are.
    """

    def __init__(self, problems: list[Problem], *, unfit: frozenset[int] = frozenset()) -> None:
        super().__init__(problems[0].code)
        self.problems = problems
        self.unfit = unfit


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
        if _is_too_deep(text):
            return [Problem("too_deep", "")]
        value = reader.decode(text)
    except _NumberTooLong:
        return [Problem("number_too_long", "")]
    except (ValueError, RecursionError):
        return [Problem("malformed_json", "")]
    if not isinstance(value, dict):
        return [Problem("not_an_object", "")]
    # The closer look ends with the last problem to be shown: a hostile record has them by the hundred thousand.
    return list(islice(chain(_shape(value), _contents(value, None, reader.doubled)), MAX_PROBLEMS))


def identity(raw: bytes | memoryview) -> tuple[str | None, str]:
    """(id, type) as far as they can be read: None for no usable id, an empty string for no type of TYPES."""
    try:
        found = _decode_identity(raw)
    except (ValueError, RecursionError):
        found = _read_leniently(bytes(raw))
    external_id, record_type = found.id, found.type
    usable = isinstance(external_id, str) and 1 <= len(external_id) <= MAX_ID_LENGTH
    return (
        external_id if usable else None,
        record_type if isinstance(record_type, str) and record_type in TYPES else "",
    )


class _Identity(Struct):
    id: Any = None
    type: Any = None


_decode_identity = msgspec.json.Decoder(_Identity).decode


def _read_leniently(raw: bytes) -> _Identity:
    """Half a surrogate pair somewhere in a record, as a cut-off emoji leaves it, does not make its owner unknown."""
    try:
        value = json.loads(raw.decode()) if len(raw) <= MAX_RECORD_BYTES else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return _Identity()
    external_id = value.get("id")
    if isinstance(external_id, str) and _has_lone_surrogate(external_id):
        external_id = None
    return _Identity(external_id, value.get("type"))


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


def _shape(value: dict[str, Any]) -> Iterator[Problem]:
    for name in value:
        if name not in Record.__struct_fields__:
            yield _problem("unknown_member", (None, name))
    for name in ("id", "type", "attributes"):
        if name not in value:
            yield Problem("missing_member", f"/{name}")
    if "id" in value:
        if not isinstance(value["id"], str):
            yield Problem("id_not_a_string", "/id")
        elif not 1 <= len(value["id"]) <= MAX_ID_LENGTH:
            yield Problem("id_length", "/id")
    if "type" in value and (not isinstance(value["type"], str) or value["type"] not in TYPES):
        yield Problem("unknown_type", "/type")
    if "attributes" in value and not isinstance(value["attributes"], dict):
        yield Problem("attributes_not_an_object", "/attributes")
    if "customFields" in value:
        yield from _custom_fields(value["customFields"])


def _custom_fields(fields: Any) -> Iterator[Problem]:
    if not isinstance(fields, dict):
        yield Problem("custom_fields_not_an_object", "/customFields")
        return
    if len(fields) > MAX_CUSTOM_FIELDS:
        yield Problem("too_many_custom_fields", "/customFields")
    for name, value in fields.items():
        path = ((None, "customFields"), name)
        if len(name) > MAX_NAME_LENGTH:
            yield _problem("custom_field_name_too_long", path)
        if not isinstance(value, str):
            yield _problem("custom_field_not_a_string", path)
        elif len(value) > MAX_VALUE_LENGTH:
            yield _problem("custom_field_too_long", path)


# The way from the document to a value, last step first. Written out as a pointer only where there is a problem.
_Path = tuple[Any, str | int] | None


def _contents(value: Any, path: _Path, doubled: "_Doubled") -> Iterator[Problem]:
    """NUL, lone surrogates and members that stand twice, at any depth."""
    if isinstance(value, str):
        yield from _text(value, path)
    elif isinstance(value, dict):
        for name in doubled.get(id(value), (value, ()))[1]:
            yield _problem("duplicate_member", (path, name))
        for name, member in value.items():
            inner = (path, name)
            yield from _text(name, inner)
            yield from _contents(member, inner, doubled)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _contents(member, (path, index), doubled)


def _text(text: str, path: _Path) -> Iterator[Problem]:
    if "\0" in text:
        yield _problem("nul_character", path)
    elif _has_lone_surrogate(text):
        yield _problem("lone_surrogate", path)


def _has_lone_surrogate(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def _problem(code: str, path: _Path) -> Problem:
    """With the path as a JSON Pointer (RFC 6901). What no pointer could carry as text stands as a question mark."""
    steps: list[str] = []
    while path is not None:
        path, step = path
        steps.append(str(step).replace("\0", "?").encode(errors="replace").decode())
    pointer = "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in reversed(steps))
    return Problem(code, shortened(pointer))


def shortened(pointer: str) -> str:
    """The pointer, or where it is too long that of the nearest place above it that is not."""
    if len(pointer) > MAX_POINTER_LENGTH:
        return pointer[: MAX_POINTER_LENGTH + 1].rpartition("/")[0]
    return pointer


# A string is taken whole and never given back (possessive), also one that does not end: each letter is looked at once.
_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def _is_too_deep(text: str) -> bool:
    """Whether objects and lists are nested deeper than MAX_DEPTH, found without recursion, strings left out."""
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        found = bracket.group()
        if found in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif found in "]}":
            depth -= 1
    return False


# By the object's id(): the object, kept so that the id stays its own, and the names that stand twice in it.
_Doubled = dict[int, tuple[dict[str, Any], list[str]]]


class _NumberTooLong(ValueError):
    pass


class _Reader:
    """Python's own JSON reader, strict, noting members that stand twice."""

    def __init__(self) -> None:
        self.doubled: _Doubled = {}
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
            counts = Counter(name for name, _ in pairs)
            self.doubled[id(members)] = members, [name for name, count in counts.items() if count > 1]
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
