"""JSON and NDJSON bodies -> metadata and records, each still as sent. One bad record never costs the others.

The time is linear in the body, whatever stands in it: a signed caller may still be a careless or a hostile one.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from random import randrange
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from imports.refusal import Refusal, unfit

MAX_RECORDS: Final = 500_000

Raws = list[bytes] | list[Raw]


def read_json(body: bytes) -> tuple[bytes, Raws]:
    """One document {"metadata": …, "records": […]}. Raises Refusal."""
    return _read(body, _WHOLE)


def read_json_part(body: bytes) -> Raws:
    """One document {"records": […]}, a part of a job. Raises Refusal."""
    return _read(body, _PART)[1]


def read_json_opening(body: bytes) -> tuple[bytes, int | None, bool]:
    """The document {"metadata": …, "expectedRecords": n, "dryRun": true} that opens a job in parts; of the last two
    None and False where they are missing. Raises Refusal."""
    try:
        opening = _decode_opening(body)
    except msgspec.ValidationError as err:
        raise _explain_opening(str(err)) from None
    except (ValueError, RecursionError) as err:
        raise malformed(err) from None
    return bytes(opening.metadata), opening.expectedRecords, opening.dryRun


def read_ndjson(body: bytes) -> tuple[bytes, Raws]:
    """The first line is {"metadata": …}, every other one that is not blank is a record. Raises Refusal."""
    lines = _lines(body)
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


def read_ndjson_part(body: bytes) -> Raws:
    """Every line that is not blank is a record. Raises Refusal for the metadata line of a whole document."""
    lines = list(islice(_lines(body), MAX_RECORDS + 1))
    try:
        _decode_head(lines[0] if lines else b"")
    except (ValueError, RecursionError):
        return lines
    raise unfit("/metadata", "unknown_member", "A part holds records alone; its job was opened with the metadata.")


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


class _Part(Struct, forbid_unknown_fields=True):
    records: list[Raw]


class _Opening(Struct, forbid_unknown_fields=True):
    metadata: Raw
    expectedRecords: Annotated[int, Meta(ge=1)] | None = None  # noqa: N815 - as the wire spells it
    dryRun: bool = False  # noqa: N815 - likewise


class _Head(Struct, forbid_unknown_fields=True):
    metadata: Raw


class _Members(Struct):
    metadata: Raw | UnsetType = UNSET
    records: Raw | UnsetType = UNSET


class _MembersAlone(_Members, forbid_unknown_fields=True):
    pass


@dataclass(frozen=True, slots=True)
class _Form:
    """What a document must hold, and nothing else."""

    decode: Callable[[bytes], _Document | _Part]
    decode_alone: Callable[[bytes], object]
    members: tuple[str, ...]


_WHOLE: Final = _Form(
    msgspec.json.Decoder(_Document).decode, msgspec.json.Decoder(_MembersAlone).decode, ("metadata", "records")
)


class _RecordsAlone(Struct, forbid_unknown_fields=True):
    records: Raw | UnsetType = UNSET


_PART: Final = _Form(msgspec.json.Decoder(_Part).decode, msgspec.json.Decoder(_RecordsAlone).decode, ("records",))

_decode_opening = msgspec.json.Decoder(_Opening).decode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_members = msgspec.json.Decoder(_Members).decode
_decode_value = msgspec.json.Decoder(Raw).decode

_LINE: Final = re.compile(rb"[^ \t\r\n][^\n]*")


def _read(body: bytes, form: _Form) -> tuple[bytes, Raws]:
    if _is_dense(body):
        _refuse_too_many(body)
    try:
        document = form.decode(body)
        if len(body) != _compact_length(document):
            _places(body)
    except msgspec.ValidationError:
        raise _explain(body, form) from None
    except (ValueError, RecursionError) as err:
        masked = _ESCAPE.sub(_mask, body) if _SURROGATE.search(body) else body
        if masked == body:
            raise malformed(err) from None
        return _unmask(body, masked, form)
    return _metadata_of(document), document.records


def _metadata_of(document: _Document | _Part) -> bytes:
    return bytes(document.metadata) if isinstance(document, _Document) else b""


def _lines(body: bytes) -> Iterator[bytes]:
    return (line.group().rstrip(b" \t\r") for line in _LINE.finditer(body))


def _no_head() -> Refusal:
    return unfit("/metadata", "missing_member", 'The first line must be {"metadata":{…}} and nothing else.')


def _explain(body: bytes, form: _Form) -> Refusal:
    """The document is JSON but not of the agreed form: say how, member by member."""
    try:
        members = _decode_members(body)
    except msgspec.ValidationError:
        return unfit("", "not_an_object", f"The body must be a JSON object with {' and '.join(form.members)}.")
    except (ValueError, RecursionError) as err:
        return malformed(err)
    values = {"metadata": members.metadata, "records": members.records}
    errors = [(f"/{name}", "missing_member", f"{name} is required.") for name in form.members if values[name] is UNSET]
    if members.records is not UNSET and bytes(memoryview(members.records)[:1]) != b"[":
        errors.append(("/records", "not_a_list", "records must be a list."))
    try:
        form.decode_alone(body)
    except msgspec.ValidationError:
        errors.append(("/*", "unknown_member", f"The document has {' and '.join(form.members)}, and nothing else."))
    if not errors:
        _places(body)  # raises: of a member that stands twice, the one that is not kept was of another form
    return Refusal("invalid_envelope", "The document is not of the agreed form; see errors.", errors=tuple(errors))


_EXPECTED: Final = "expectedRecords must be a whole number from 1."


def _explain_opening(message: str) -> Refusal:
    # msgspec's message names members of ours and kinds of fault, never a value.
    if "missing required field" in message:
        return unfit("/metadata", "missing_member", "metadata is required.")
    if "expectedRecords" in message:
        return unfit("/expectedRecords", "wrong_value", _EXPECTED)
    if "dryRun" in message:
        return unfit("/dryRun", "wrong_value", "dryRun must be true or false.")
    if "unknown field" in message:
        detail = "The document has metadata, expectedRecords and dryRun, and nothing else."
        return unfit("/*", "unknown_member", detail)
    return unfit("", "not_an_object", "The body must be a JSON object with metadata.")


def _compact_length(document: _Document | _Part) -> int:
    """The length of the document without white space between its parts: a body of that length has no third member."""
    records: Iterator[memoryview] = map(memoryview, document.records)
    frame = b'{"metadata":,"records":[]}' if isinstance(document, _Document) else b'{"records":[]}'
    return len(frame) + len(_metadata_of(document)) + sum(map(len, records)) + max(len(document.records) - 1, 0)


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


def _unmask(body: bytes, masked: bytes, form: _Form) -> tuple[bytes, Raws]:
    """What stands in `body` where the parts of `masked`, of the same length, are: only those records are to fail."""
    metadata, records = _read(masked, form)
    places = _places(masked)
    at = places["records"] + 1
    as_sent = []
    for raw in records:
        begin = _GAP.match(body, at).end()  # type: ignore[union-attr]
        at = begin + len(memoryview(raw))
        as_sent.append(body[begin:at])
    return body[places["metadata"] :][: len(metadata)] if metadata else b"", as_sent


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


def too_many_records(pointer: str = "/records") -> Refusal:
    return unfit(
        pointer,
        "too_many_records",
        f"A job may have at most {MAX_RECORDS:,} records; split the file into several.",
    )
