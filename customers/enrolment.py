"""Customers and their keys: made, issued, rotated, revoked. Each is one transaction with its audit event.

Callers stand inside audit's acting_as(). A secret is in the return value, once, and nowhere else in plain text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.text import slugify

from audit.clock import database_now
from audit.trail import audited, record
from customers import directory, keyring, signing
from customers.models import Customer, HmacKey
from customers.scopes import DEFAULT_SCOPES

LIFETIME_DAYS: Final = 90
OVERLAP_HOURS: Final = 24
MAX_OVERLAP_HOURS: Final = 14 * 24
# A program that rotates in a loop is stopped before it fills the table.
MAX_LIVE_KEYS: Final = 50


class EnrolmentError(Exception):
    """What was asked for cannot be done. `code` is stable; the message says what to do instead."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key. This is the only time the secret is in plain text; show it to its owner and let it go."""

    key: HmacKey = field(repr=False)
    key_id: str
    secret: str = field(repr=False)


def create_customer(
    name: str, *, slug: str | None = None, networks: Sequence[str] = (), label: str = ""
) -> tuple[Customer, IssuedKey]:
    """A customer with its data keys and a first HMAC key. EnrolmentError for a taken or bad name."""
    customer = Customer(name=name.strip(), slug=slug or slugify(name)[:64].strip("-_"), allowed_networks=list(networks))
    with audited():
        enrol(customer)
        return customer, issue_key(customer, label=label)


def enrol(customer: Customer) -> None:
    """Insert a customer that was filled in and make its data keys, in one audited transaction."""
    try:
        customer.full_clean()
        with audited():
            customer.save(force_insert=True)
            keyring.create_keys(customer)
            record("customer.created", target=_target(customer), customer_id=customer.pk)
    except ValidationError as error:
        raise _refusal(error, customer) from None
    except IntegrityError:
        # Two at once: the other one was faster than our check.
        raise _taken(customer) from None


def issue_key(
    customer: Customer,
    *,
    label: str = "",
    expires_in_days: int = LIFETIME_DAYS,
    scopes: Sequence[str] = DEFAULT_SCOPES,
    now: datetime | None = None,
) -> IssuedKey:
    """A further key of the customer, live at once."""
    with audited():
        issued = _insert_key(customer, label, scopes, expires_in_days, now or database_now())
        record(
            "key.issued",
            target=f"key:{issued.key_id}",
            customer_id=customer.pk,
            detail={"scopes": list(scopes), "days": expires_in_days},
        )
    return issued


def rotate_key(key: HmacKey, *, overlap_hours: int = OVERLAP_HOURS, now: datetime | None = None) -> IssuedKey:
    """A new key beside this one, with its scopes and label; this one ends after the overlap, or when it would anyway.

    EnrolmentError where the key is revoked or expired already, the overlap is longer than 14 days, or the customer has
    50 live keys.
    """
    now = now or database_now()
    if not 0 <= overlap_hours <= MAX_OVERLAP_HOURS:
        raise EnrolmentError("bad_overlap", f"Give an overlap of 0 to {MAX_OVERLAP_HOURS} hours.")
    with audited():
        # Locked, so that of two rotations at once each sees the end that the other set.
        old = HmacKey.objects.select_for_update(no_key=True, of=("self",)).get(pk=key.pk)
        if old.revoked_at is not None or old.expires_at <= now:
            raise EnrolmentError("key_not_live", f"Key {old.key_id} is revoked or expired. Issue a new key instead.")
        if HmacKey.objects.live(now).filter(customer_id=old.customer_id).count() >= MAX_LIVE_KEYS:
            raise EnrolmentError("too_many_keys", f"There are {MAX_LIVE_KEYS} live keys; revoke some first.")
        issued = _insert_key(old.customer, old.label, old.scopes, LIFETIME_DAYS, now)
        old.expires_at = min(old.expires_at, now + timedelta(hours=overlap_hours))
        # Its own lifetime must not become empty, whatever the clock said when it was made.
        old.not_before = min(old.not_before, old.expires_at - timedelta(microseconds=1))
        old.save(update_fields=["expires_at", "not_before"])
        record(
            "key.rotated",
            target=f"key:{old.key_id}",
            customer_id=old.customer_id,
            detail={"successor": issued.key_id, "overlap_hours": overlap_hours},
        )
        _forget_on_commit(old.key_id)
    return issued


def revoke_key(key: HmacKey, *, now: datetime | None = None) -> bool:
    """From now on the key signs nothing, here at once and elsewhere within a second. False where it was so already."""
    with audited():
        now = now or database_now()
        revoked = HmacKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=now)
        if revoked:
            record("key.revoked", target=f"key:{key.key_id}", customer_id=key.customer_id)
            _forget_on_commit(key.key_id)
    return revoked == 1


def _insert_key(
    customer: Customer, label: str, scopes: Sequence[str], expires_in_days: int, now: datetime
) -> IssuedKey:
    if customer.erased_at is not None:
        raise EnrolmentError("customer_erased", f"{customer.name} was erased. Create a new customer instead.")
    secret = signing.new_secret()
    key = HmacKey(
        key_id=signing.new_key_id(),
        customer=customer,
        secret=secret,
        label=label,
        scopes=list(scopes),
        not_before=now,
        expires_at=now + timedelta(days=expires_in_days),
    )
    try:
        key.full_clean()
    except ValidationError as error:
        raise EnrolmentError("invalid_key", " ".join(error.messages)) from None
    key.save(force_insert=True)
    _forget_on_commit(key.key_id)
    return IssuedKey(key, key.key_id, secret)


def _forget_on_commit(key_id: str) -> None:
    transaction.on_commit(partial(directory.forget, key_id))


def _target(customer: Customer) -> str:
    return f"customer:{customer.slug}"


def _refusal(error: ValidationError, customer: Customer) -> EnrolmentError:
    codes = {item.code for items in error.error_dict.values() for item in items}
    # Django's codes of a unique field and of a unique expression.
    if codes & {"unique", "customer_name_taken"}:
        return _taken(customer)
    if customer.name and not customer.slug:
        message = "No short name can be made from this name. Give it one of its own (slug) out of a-z 0-9 - _."
    else:
        message = " ".join(f"{field}: {' '.join(messages)}" for field, messages in error.message_dict.items())
    return EnrolmentError("invalid_customer", message)


def _taken(customer: Customer) -> EnrolmentError:
    message = (
        f"There is a customer named {customer.name!r} or with the short name {customer.slug!r} already. "
        "Choose another name and another short name (slug)."
    )
    return EnrolmentError("customer_exists", message)
