"""`manage.py rewrap_data_keys`: after a new first key in MASTER_KEYS, every data key is wrapped by it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.context import Actor, acting_as
from customers import rewrapping
from customers.master_keys import MasterKeyError, current


class Command(BaseCommand):
    help = "Wrap every data key with the first key of MASTER_KEYS. Records stay as they are. May be run again."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with acting_as(Actor("command", "rewrap_data_keys")):
                count = rewrapping.rewrap()
        except MasterKeyError as error:
            raise CommandError(
                f"{error} Put it back into MASTER_KEYS, behind the new one, and run this again."
            ) from None
        first, *others = current().ids
        self.stdout.write(self.style.SUCCESS(f"{count:,} data keys rewrapped; master key {first} wraps all of them."))
        if others:
            self.stdout.write(f"Of use to older dumps only: {', '.join(others)}.")
