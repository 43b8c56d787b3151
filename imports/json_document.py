"""JSON and NDJSON bodies -> metadata and records, each still as sent. One bad record never costs the others.

The time is linear in the body, whatever stands in it: a signed caller may still be a careless or a hostile one.
"""

import re
from collections.abc import Iterator
from itertools import islice
from random import randrange
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from imports.refusal import Refusal, unfit

MAX_RECORDS: Final = 500_000

Raws = list[bytes] | list[Raw]


def read_json(body: bytes) -> tuple[bytes, Raws]:
    """One document {"metadata": …, "records": […]}. Raises Refusal."""
    if _is_dense(body):
        _refuse_too_many(body)
    try:
        document = _decode_document(body)
        if len(body) != _compact_length(document):
            _places(body)
    except msgspec.ValidationError:
        raise _explain(body) from None
    except (ValueError, RecursionError) as err:
        masked = _ESCAPE.sub(_mask, body) if _SURROGATE.search(body) else body
        if masked == body:
            raise malformed(err) from None
        return _unmask(body, masked)
    return bytes(document.metadata), document.records


def read_ndjson(body: bytes) -> tuple[bytes, Raws]:
    """The first line is {"metadata": …}, every other one that is not blank is a record. Raises Refusal."""
    lines = (line.group().rstrip(b" \t\r") for line in _LINE.finditer(body))
    first = next(lines, b"")
    try:
        metadata = bytes(_decode_head(first).metadata)
    except msgspec.ValidationError:
        raise _no_head() from None
    except (ValueError, RecursionError) as err:
        raise (malformed(err) if first else _no_head()) from None
    if len(first) != len(b'{"metadata":}') + len(metadata):
        _places(first)
    return metadata, list(islice(lines, MAX_RECORDS + 1))


def malformed(err: Exception) -> Refusal:
    if isinstance(err, RecursionError):
        return Refusal("malformed_json", "The body is nested too deeply; a record may have at most 64 levels.")
    if isinstance(err, UnicodeDecodeError):
        return Refusal("malformed_json", "The body is not UTF-8 text.")
    # msgspec's message names a place and a kind of fault, never a value.
    return Refusal("malformed_json", f"The body is not JSON: {str(err).removeprefix('JSON is malformed: ')}.")


class _Document(Struct, forbid_unknown_fields=True):
    metadata: Raw
    records: list[Raw]


class _Head(Struct, forbid_unknown_fields=True):
    metadata: Raw


class _Members(Struct):
    metadata: Raw | UnsetType = UNSET
    records: Raw | UnsetType = UNSET


class _MembersAlone(_Members, forbid_unknown_fields=True):
    pass


_decode_document = msgspec.json.Decoder(_Document).decode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_members = msgspec.json.Decoder(_Members).decode
_decode_members_alone = msgspec.json.Decoder(_MembersAlone).decode
_decode_value = msgspec.json.Decoder(Raw).decode

_LINE: Final = re.compile(rb"[^ \t\r\n][^\n]*")


def _no_head() -> Refusal:
    return unfit("/metadata", "missing_member", 'The first line must be {"metadata":{…}} and nothing else.')


def _explain(body: bytes) -> Refusal:
    """The document is JSON but not of the agreed form: say how, member by member."""
    try:
        members = _decode_members(body)
    except msgspec.ValidationError:
        return unfit("", "not_an_object", "The body must be a JSON object with metadata and records.")
    except (ValueError, RecursionError) as err:
        return malformed(err)
    values = {"metadata": members.metadata, "records": members.records}
    errors = [(f"/{name}", "missing_member", f"{name} is required.") for name in values if values[name] is UNSET]
    if members.records is not UNSET and bytes(memoryview(members.records)[:1]) != b"[":
        errors.append(("/records", "not_a_list", "records must be a list."))
    try:
        _decode_members_alone(body)
    except msgspec.ValidationError:
        errors.append(("/*", "unknown_member", "The document has metadata and records, and nothing else."))
    if not errors:
        _places(body)  # raises: of a member that stands twice, the one that is not kept was of another form
    return Refusal("invalid_envelope", "The document is not of the agreed form; see errors.", errors=tuple(errors))


def _compact_length(document: _Document) -> int:
    """The length of the document without white space between its parts: a body of that length has no third member."""
    records: Iterator[memoryview] = map(memoryview, document.records)
    parts = len(memoryview(document.metadata)) + sum(map(len, records))
    return len(b'{"metadata":,"records":[]}') + parts + max(len(document.records) - 1, 0)


_OPEN: Final = re.compile(rb"[ \t\n\r]*\{")
_NAME: Final = re.compile(rb'[ \t\n\r]*("(?:[^"\\]|\\.)*+")[ \t\n\r]*:[ \t\n\r]*')
_AFTER: Final = re.compile(rb"[ \t\n\r]*([,}])")


def _places(body: bytes) -> dict[str, int]:
    """Where each member's value begins. Raises Refusal where a member stands twice, however its name is spelled.

    `body` is JSON already; msgspec keeps the last of two, so a value that is not the kept one stands again later.
    """
    members = _decode_members(body)
    values = {"metadata": members.metadata, "records": members.records}
    places: dict[str, int] = {}
    after = _OPEN.match(body)
    while after and after.group(after.lastindex or 0) != b"}":
        member = _NAME.match(body, after.end())
        assert member is not None  # noqa: S101 - an object of JSON has a name after { and ,
        name, place = msgspec.json.decode(member[1], type=str), member.end()
        value = bytes(values[name] or b"")
        after = _AFTER.match(body, place + len(value))
        if name in places or not body.startswith(value, place) or after is None:
            raise unfit(
                f"/{name}",
                "duplicate_member",
                "A member stands twice in the document; which one counts cannot be known.",
            )
        places[name] = place
    return places


# JSON's grammar lets half a surrogate pair stand in a string, as a cut-off emoji leaves it; msgspec's reader does not.
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE: Final = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)
_GAP: Final = re.compile(rb"[ \t\n\r,]*")


def _mask(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape[1] else escape[0]


def _unmask(body: bytes, masked: bytes) -> tuple[bytes, Raws]:
    """What stands in `body` where the parts of `masked`, of the same length, are: only those records are to fail."""
    metadata, records = read_json(masked)
    places = _places(masked)
    at = places["records"] + 1
    as_sent = []
    for raw in records:
        begin = _GAP.match(body, at).end()  # type: ignore[union-attr]
        at = begin + len(memoryview(raw))
        as_sent.append(body[begin:at])
    return body[places["metadata"] :][: len(metadata)], as_sent


# Split, each element takes some 70 bytes: 50 MB of "0," would take 1.7 GB before anything could count them.
_DENSE: Final = 10_000_000
_BLOCK, _SAMPLE = 16 * 1024, 1024


def _is_dense(body: bytes) -> bool:
    """Whether the body may hold more than 10 million elements, by the commas in samples taken at random."""
    if len(body) < 2 * _DENSE:
        return False
    samples = (block + randrange(_BLOCK - _SAMPLE) for block in range(0, len(body), _BLOCK))  # noqa: S311
    return sum(body.count(b",", at, at + _SAMPLE) for at in samples) * _BLOCK // _SAMPLE > _DENSE


def _refuse_too_many(body: bytes) -> None:
    try:
        records = _decode_members(body).records
    except (ValueError, RecursionError):
        return
    if records is not UNSET and sum(1 for _ in islice(_elements(memoryview(records)), MAX_RECORDS + 1)) > MAX_RECORDS:
        raise too_many_records()


_TRAILING: Final = re.compile(r"trailing characters \(byte (\d+)\)")


def _elements(value: memoryview) -> Iterator[int]:
    """Where each element of a list ends, with none kept: the reader says where more than one value stood."""
    at = 1
    while True:
        try:
            _decode_value(value[at:])
        except msgspec.DecodeError as err:
            trailing = _TRAILING.search(str(err))
            if trailing is None:
                return
            at += int(trailing[1])
            yield at - 1
        else:
            return


def too_many_records() -> Refusal:
    return unfit(
        "/records",
        "too_many_records",
        f"A job may have at most {MAX_RECORDS:,} records; split the file into several.",
    )
