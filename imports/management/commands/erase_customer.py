"""`manage.py erase_customer SLUG`: destroys the customer's keys, and with them all that they encrypted, for good."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.clock import database_now
from audit.context import Actor, acting_as
from customers.models import Customer
from imports import erasure


class Command(BaseCommand):
    help = "Erase a customer by destroying its keys. Nothing brings the data back, in this database at least."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", metavar="SLUG", help="the customer's short name")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, slug: str, yes: bool, **options: Any) -> None:
        customer = Customer.objects.filter(slug=slug).first()
        if customer is None:
            raise CommandError(f"There is no customer {slug!r}. The admin lists them by short name.")
        if not yes:
            self.stdout.write(f"This destroys all records, imports and keys of {customer.name} for good.")
            if input(f"Type {slug} to go on: ").strip() != slug:
                raise CommandError("Nothing was erased.")
        with acting_as(Actor("command", "erase_customer")):
            erased = erasure.erase(customer, now=database_now())
        if not erased:
            self.stdout.write(f"{customer.name} was erased on {customer.erased_at:%Y-%m-%d}; nothing changed.")
            return
        self.stdout.write(
            self.style.SUCCESS(f"{customer.name} is erased. Within 60 seconds no process can read its data.")
        )
        self.stdout.write("Dumps made before still hold its keys: docs/keys.md says until when.")
