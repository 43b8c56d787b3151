"""Data keys from their 90th day to their end: retired, re-encrypted away from, destroyed. Every step may be the last.

The sweepers do it in small portions beside their ringing; `manage.py rotate_data_keys` does it at once.
"""

import logging
import time
from collections.abc import Iterator
from typing import Final

from audit.clock import database_now
from customers import rotation
from customers.keyring import NoKeyError
from customers.master_keys import MasterKeyError
from customers.models import Customer, DataKey
from imports.reencryption import is_empty, reencrypt, remaining

REST_SECONDS: Final = 10.0
AGAIN_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 30.0

logger = logging.getLogger(__name__)


def begin_due() -> int:
    """Rotates the keys of customers whose keys are 90 days old; how many customers."""
    now = database_now()
    return sum(rotation.begin(customer, now=now, only_if_due=True) for customer in rotation.due(now))


def settle(data_key: DataKey) -> Iterator[int]:
    """One pass for one retired key: what it moved, chunk by chunk; then the key is noted as empty, or destroyed."""
    yield from reencrypt(data_key)
    if not is_empty(data_key):
        rotation.note_found(data_key)
        return
    now = database_now()
    rotation.note_emptied(data_key, now=now)
    rotation.destroy(data_key, now=now, is_empty=is_empty)


def work_off(customer: Customer) -> Iterator[int]:
    """Passes over a customer's retired keys until nothing is under them: what each chunk moved.

    Ends too when nothing has moved for 30 s: what is left does not open, or somebody holds it for very long.
    """
    moved_at = time.monotonic()
    while time.monotonic() - moved_at < PATIENCE_SECONDS:
        for data_key in list(DataKey.objects.retired().filter(customer=customer)):
            for moved in settle(data_key):
                moved_at = time.monotonic() if moved else moved_at
                yield moved
        if not any(remaining(data_key) for data_key in DataKey.objects.retired().filter(customer=customer)):
            return
        # Somebody holds the rest: a batch at work, or a writer whose ring is older than the rotation.
        time.sleep(AGAIN_SECONDS)


class Rotator:
    """The rotation as a sweeper does it: a portion at each call, a look around every ten seconds when all is done."""

    def __init__(self) -> None:
        self._steps: Iterator[int] = iter(())
        self._rests_until = 0.0

    def work(self, *, seconds: float) -> int:
        """Works for about so long and says how many ciphertexts moved. Raises DatabaseError; then begins anew."""
        now = time.monotonic()
        if now < self._rests_until:
            return 0
        moved = 0
        for count in self._steps:
            moved += count
            if time.monotonic() - now >= seconds:
                return moved
        self._steps = self._round()
        self._rests_until = time.monotonic() + REST_SECONDS
        return moved

    def _round(self) -> Iterator[int]:
        for data_key in DataKey.objects.retired():
            try:
                yield from settle(data_key)
            except (NoKeyError, MasterKeyError) as error:
                # One customer's trouble, such as a master key that is missing here, holds up nobody else.
                logger.error("data_key_not_settled data_key=%s cause=%s", data_key.pk, type(error).__name__)
