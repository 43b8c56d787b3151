"""The end of a customer: its data keys are destroyed, and nothing that they encrypted can be read again."""

from datetime import datetime
from functools import partial

from django.db import transaction

from audit.trail import audited, record
from customers import directory, keyring
from customers.models import Customer, DataKey, HmacKey


def erase(customer: Customer, *, now: datetime) -> bool:
    """Destroys every data key, revokes every HMAC key, makes the customer inactive. False where it was erased before.

    Here at once; elsewhere within a second for calls and within 60 s for rings that were read before. What remains are
    counts, times and ciphertext that nobody opens.
    """
    with audited():
        locked = Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
        if locked.erased_at is not None:
            return False
        locked.is_active, locked.erased_at = False, now
        locked.save(update_fields=["is_active", "erased_at"])
        destroyed = DataKey.objects.usable().filter(customer=locked).update(state=DataKey.State.DESTROYED, wrapped=None)
        revoked = HmacKey.objects.filter(customer=locked, revoked_at__isnull=True).update(revoked_at=now)
        record(
            "customer.erased",
            target=f"customer:{locked.slug}",
            customer_id=locked.pk,
            detail={"data_keys": destroyed, "hmac_keys": revoked},
        )
        transaction.on_commit(partial(keyring.forget, locked.pk))
        transaction.on_commit(directory.forget)
    return True
