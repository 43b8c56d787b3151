"""Data keys under a new master key: their rows alone are written, nothing that they encrypted."""

from collections import Counter
from typing import Final

from django.db import connection

from audit.trail import audited, record
from customers import master_keys
from customers.models import DataKey

_AT_ONCE: Final = 500
_UPDATE: Final = """
    UPDATE customers_datakey t SET wrapped = moved.wrapped, kek_id = %(kek)s
    FROM unnest(%(ids)s::bigint[], %(wrapped)s::bytea[]) AS moved(id, wrapped) WHERE t.id = moved.id
"""


def in_use() -> dict[str, int]:
    """How many data keys each master key wraps, by its id: what must stay in MASTER_KEYS."""
    return dict(Counter(DataKey.objects.usable().values_list("kek_id", flat=True).order_by()))


def rewrap() -> int:
    """Wraps every data key with the first master key; how many were not. Raises MasterKeyError where one is locked.

    Each portion is one audited transaction, so it may be killed and run again.
    """
    masters = master_keys.current()
    first = masters.ids[0]
    rewrapped = 0
    while True:
        count = _rewrap_some(masters, first)
        rewrapped += count
        if count < _AT_ONCE:
            return rewrapped


def _rewrap_some(masters: master_keys.MasterKeys, first: str) -> int:
    with audited():
        keys = list(
            DataKey.objects.usable()
            .exclude(kek_id=first)
            .select_related("customer")
            .select_for_update(no_key=True, of=("self",))
            .order_by("pk")[:_AT_ONCE]
        )
        if not keys:
            return 0
        with connection.cursor() as cursor:
            cursor.execute(
                _UPDATE,
                {
                    "kek": first,
                    "ids": [key.pk for key in keys],
                    "wrapped": [_rewrapped(masters, key) for key in keys],
                },
            )
        record(
            "data_key.rewrapped", target=f"master_key:{first}", record_count=len(keys), detail={"last_id": keys[-1].pk}
        )
    return len(keys)


def _rewrapped(masters: master_keys.MasterKeys, key: DataKey) -> bytes:
    owner, purpose, version = key.customer.uuid, key.purpose, key.version
    wrapped = master_keys.WrappedKey(bytes(key.wrapped or b""), key.kek_id)
    material = masters.unwrap(wrapped, customer_uuid=owner, purpose=purpose, version=version)
    return masters.wrap(material, customer_uuid=owner, purpose=purpose, version=version).wrapped
