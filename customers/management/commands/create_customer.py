"""`manage.py create_customer NAME`: a customer, its data keys and its first HMAC key, whose secret is printed once."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.context import Actor, acting_as
from customers.enrolment import EnrolmentError, create_customer
from customers.management.issued import write_issued


class Command(BaseCommand):
    help = "Create a customer with a first HMAC key. The secret is printed once and cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="as people know the customer, for example 'BigCorp'")
        parser.add_argument("--slug", help="short name for commands and addresses (default: made from the name)")
        parser.add_argument(
            "--network",
            action="append",
            default=[],
            metavar="CIDR",
            help="calls may come from this network only; give it again for more (default: from anywhere)",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object for a program")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with acting_as(Actor("command", "create_customer")):
                customer, issued = create_customer(options["name"], slug=options["slug"], networks=options["network"])
        except EnrolmentError as error:
            raise CommandError(str(error)) from None
        write_issued(
            self, f"Customer {customer.name} ({customer.slug}) is ready.", customer, issued, as_json=options["json"]
        )
