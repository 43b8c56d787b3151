"""`manage.py revoke_key KEY_ID`: the key signs nothing any more, within a second on every process."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from audit.context import Actor, acting_as
from customers.enrolment import revoke_key
from customers.management.issued import find_key


class Command(BaseCommand):
    help = "Revoke a key for good. Every process refuses it within a second."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key_id", metavar="KEY_ID", help="the key to revoke, bk_…")

    def handle(self, *args: Any, **options: Any) -> None:
        key = find_key(options["key_id"])
        with acting_as(Actor("command", "revoke_key")):
            was_live = revoke_key(key)
        if was_live:
            self.stdout.write(self.style.SUCCESS(f"Key {key.key_id} of {key.customer.name} is revoked."))
        else:
            self.stdout.write(f"Key {key.key_id} of {key.customer.name} was revoked before; nothing changed.")
