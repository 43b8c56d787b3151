"""`manage.py show_record CUSTOMER TYPE ID`: one stored record, masked; in clear with a reason, which is recorded."""

import sys
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.context import Actor, acting_as
from audit.detail import UnsafeEventError
from customers.cipher import DecryptionError
from customers.keyring import NoKeyError
from customers.models import Customer
from imports.checking import MAX_ID_LENGTH, TYPES
from imports.revealing import Unknown, reveal, show


class Command(BaseCommand):
    help = (
        "Show one stored record by its business id, with values masked by the classification of their fields. An ID of "
        "- is read from standard input, so that it stands in no list of processes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("customer", metavar="CUSTOMER", help="the customer's short name")
        parser.add_argument("type", choices=TYPES)
        parser.add_argument("id", metavar="ID", help="the business id as it was sent, or - for standard input")
        parser.add_argument("--reveal", action="store_true", help="in clear; this is recorded with --reason")
        parser.add_argument("--reason", metavar="CODE", help="a ticket's number or a word, such as ticket-4711")

    def handle(self, *args: Any, customer: str, type: str, reveal: bool, reason: str | None, **options: Any) -> None:
        found = Customer.objects.filter(slug=customer).first()
        if found is None:
            raise CommandError(f"There is no customer {customer!r}. The admin lists them by short name.")
        external_id = options["id"] if options["id"] != "-" else sys.stdin.readline().rstrip("\r\n")
        if not 1 <= len(external_id) <= MAX_ID_LENGTH:
            raise CommandError(f"An id has 1 to {MAX_ID_LENGTH} characters.")
        if reveal and not reason:
            raise CommandError("Say why by --reason: a ticket's number or a word, no sentence and no name.")
        try:
            self.stdout.write(self._content(found, type, external_id, reason if reveal else None))
        except Unknown:
            raise CommandError("No such record is stored. What failed of it is under failed records.") from None
        except UnsafeEventError as err:
            raise CommandError("--reason is one word of A-Z a-z 0-9 _ . : / - and at most 64 characters.") from err
        except (DecryptionError, NoKeyError) as err:
            raise CommandError(f"The record does not open: {err}") from err

    def _content(self, customer: Customer, record_type: str, external_id: str, reason: str | None) -> str:
        if reason is None:
            return show(customer.pk, record_type, external_id)
        with acting_as(Actor("command", "show_record")):
            content = reveal(customer.pk, record_type, external_id, reason=reason)
        return msgspec.json.format(content, indent=2).decode()
