"""One stored record for staff: masked, or in clear for a reason that the trail keeps."""

from audit.trail import audited, record
from customers.keyring import keyring
from imports.masking import masked_record
from imports.models import Record
from imports.storing import record_row


class Unknown(Exception):
    """No such record is stored."""


def show(customer_id: int, record_type: str, external_id: str) -> str:
    """The record as JSON with its values masked. Raises Unknown."""
    return masked_record(_find(customer_id, record_type, external_id))


def reveal(customer_id: int, record_type: str, external_id: str, *, reason: str) -> bytes:
    """The record as JSON in clear, once the trail has it that it was shown, and why.

    `reason` is a code or a ticket's number, UnsafeEventError for anything else. Raises Unknown and DecryptionError.
    """
    stored = _find(customer_id, record_type, external_id)
    opener = keyring(customer_id).opener("imports_record", "payload")
    content = opener.open(bytes(stored.payload), record_row(stored.type, bytes(stored.key)))
    with audited():
        record(
            "record.revealed",
            target=f"record:{stored.pk}",
            customer_id=customer_id,
            record_count=1,
            detail={"type": record_type, "reason": reason},
        )
    return content


def _find(customer_id: int, record_type: str, external_id: str) -> Record:
    key = keyring(customer_id).index.key(record_type, external_id)
    stored = Record.objects.filter(customer_id=customer_id, type=record_type, key=key).first()
    if stored is None:
        raise Unknown
    return stored
