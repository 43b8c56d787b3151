"""Versions of a customer's data keys: a new one takes over, the old one only opens, and in the end it is destroyed.

Destroying waits for two things. No ciphertext under the key was found for as long as any ring lives and any reader or
writer may take (`SETTLE_SECONDS`); and, at that very moment, no transaction holds the key (keyring.hold) and none is
found again. So neither a ring 60 s old nor a process that stood still for an hour can leave a row that nobody opens.

Who looks for ciphertexts is imports/reencryption.py, which knows the columns.
"""

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from django.db import transaction
from django.db.models import Max, QuerySet

from audit.trail import audited, record
from customers import keyring, master_keys
from customers.models import Customer, DataKey

LIFETIME_DAYS: Final = 90
ROTATING: Final = (DataKey.Purpose.RECORD, DataKey.Purpose.SECRET)
# A ring's 60 s, and ten times as long for a transaction with what was sealed or read before it.
SETTLE_SECONDS: Final = 660


def due(now: datetime) -> QuerySet[Customer]:
    """Customers with a record or secret key that has been in use for 90 days."""
    old = DataKey.objects.filter(
        purpose__in=ROTATING, state=DataKey.State.ACTIVE, created_at__lte=now - timedelta(days=LIFETIME_DAYS)
    )
    return Customer.objects.filter(pk__in=old.values("customer_id")).order_by("pk")


def begin(customer: Customer, *, now: datetime, only_if_due: bool = False) -> bool:
    """New versions of the record and the secret key; the old ones only open from now on. False where nothing was done.

    Writers elsewhere take the new ones within 60 s, when their ring is read anew.
    """
    with audited():
        Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
        if only_if_due and not due(now).filter(pk=customer.pk).exists():
            return False
        active = DataKey.objects.filter(customer=customer, purpose__in=ROTATING, state=DataKey.State.ACTIVE)
        if not active.exists():
            return False
        newest = dict(
            DataKey.objects.filter(customer=customer, purpose__in=ROTATING)
            .values_list("purpose")
            .annotate(newest=Max("version"))
            .order_by()
        )
        active.update(state=DataKey.State.DECRYPT_ONLY, retired_at=now)
        DataKey.objects.bulk_create(_new_version(customer, purpose, newest[purpose] + 1) for purpose in sorted(newest))
        record(
            "data_key.rotated",
            target=f"customer:{customer.slug}",
            customer_id=customer.pk,
            detail={f"{purpose}_version": version + 1 for purpose, version in newest.items()},
        )
        transaction.on_commit(partial(keyring.forget, customer.pk))
    return True


def note_emptied(key: DataKey, *, now: datetime) -> None:
    """No ciphertext under a retired key was found; the first time counts."""
    DataKey.objects.retired().filter(pk=key.pk, emptied_at__isnull=True).update(emptied_at=now)


def note_found(key: DataKey) -> None:
    """There are ciphertexts under a retired key, so its time of rest begins again."""
    DataKey.objects.retired().filter(pk=key.pk, emptied_at__isnull=False).update(emptied_at=None)


def destroy(key: DataKey, *, now: datetime, is_empty: Callable[[DataKey], bool]) -> bool:
    """Destroys a retired key that has rested, is held by nobody and is_empty. False where it must wait, untouched."""
    with audited():
        rested = DataKey.objects.retired().filter(pk=key.pk, emptied_at__lte=now - timedelta(seconds=SETTLE_SECONDS))
        # FOR UPDATE on purpose: the one lock that fights the FOR KEY SHARE of keyring.hold().
        held = rested.select_for_update(skip_locked=True, of=("self",)).first()
        if held is None:
            return False
        if not is_empty(held):
            note_found(held)
            return False
        held.state, held.wrapped = DataKey.State.DESTROYED, None
        held.save(update_fields=["state", "wrapped"])
        record(
            "data_key.destroyed",
            target=f"data_key:{held.pk}",
            customer_id=held.customer_id,
            detail={"purpose": held.purpose, "version": held.version},
        )
        transaction.on_commit(partial(keyring.forget, held.customer_id))
    return True


def _new_version(customer: Customer, purpose: str, version: int) -> DataKey:
    wrapped = master_keys.current().wrap(os.urandom(32), customer_uuid=customer.uuid, purpose=purpose, version=version)
    return DataKey(customer=customer, purpose=purpose, version=version, wrapped=wrapped.wrapped, kek_id=wrapped.kek_id)
