"""What staff sees of a record: values by the classification of their fields, names that no mapping gives not at all.

The mapping is the one that is published now, whatever the record met: whoever makes it stricter means what is there
already. Without one nothing is shown but a record's shape.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import Raw

from customers.cipher import DecryptionError
from customers.keyring import NoKeyError, keyring
from imports import checking
from imports.failures import open_failures
from imports.mapping.masking import MASK, UNNAMED, Masker, partial
from imports.mapping_rows import define
from imports.models import FailedRecord, Mapping, Record
from imports.retrying import as_it_stands
from imports.storing import record_row

UNREADABLE: Final = "cannot be read as a JSON object, so nothing of it can be shown"
GONE: Final = "removed: its import's retention ended, or it was erased on request"
LOCKED: Final = "does not open: the customer was erased, or a master key is missing"

_decode = msgspec.json.Decoder(float_hook=Raw).decode


@dataclass(frozen=True, slots=True)
class MaskedFailure:
    """Texts to be shown as they stand. `edited` is empty where nobody did; a problem is (code, place, message)."""

    record: str
    edited: str = ""
    problems: tuple[tuple[str, str, str], ...] = ()


def masked_failure(failure: FailedRecord) -> MaskedFailure:
    """A failed record as it was sent and as it was edited, and every problem with the place for all."""
    if failure.payload is None:
        return MaskedFailure(GONE)
    try:
        keys = keyring(failure.customer_id)
        (opened,) = open_failures(failure.job, [failure], keys)
        edited = as_it_stands(failure, failure.job, keys) if failure.edited is not None else b""
    except (DecryptionError, NoKeyError):
        return MaskedFailure(LOCKED)
    masker = _masker(failure.customer_id, failure.type)
    return MaskedFailure(
        _shown(opened.raw, masker.mask_source),
        _shown(edited, masker.mask_source) if edited else "",
        tuple((problem.code, problem.place, problem.message) for problem in opened.problems),
    )


def masked_record(stored: Record) -> str:
    """A stored record, as its mapping made it."""
    try:
        opener = keyring(stored.customer_id).opener("imports_record", "payload")
        content = opener.open(bytes(stored.payload), record_row(stored.type, bytes(stored.key)))
    except (DecryptionError, NoKeyError):
        return LOCKED
    return _shown(content, _masker(stored.customer_id, stored.type).mask)


def _masker(customer_id: int, record_type: str) -> Masker:
    published = Mapping.objects.filter(
        customer_id=customer_id, record_type=record_type, state=Mapping.State.PUBLISHED
    ).prefetch_related("fields")
    version = published.first()
    return Masker(define(version) if version is not None else None)


def _shown(raw: bytes, mask: Any) -> str:
    try:
        content = _decode(raw)
    except (ValueError, RecursionError):
        return UNREADABLE
    if not isinstance(content, dict):
        return UNREADABLE
    known = {name: value for name, value in content.items() if name in checking.Record.__struct_fields__}
    masked = mask(known)
    # The id may be an address or a number of the person, and a type that is none may be anything.
    if "id" in masked:
        masked["id"] = partial(masked["id"])
    if "type" in masked and masked["type"] not in checking.TYPES:
        masked["type"] = MASK
    if len(known) < len(content):
        masked[UNNAMED] = MASK
    return msgspec.json.format(msgspec.json.encode(masked), indent=2).decode()
