"""`manage.py quality CUSTOMER`: how good what a customer sends is, and whether it gets better."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from imports.checking import TYPES
from imports.listing import PAGE_SIZE
from imports.management.mapping_text import to_json
from imports.management.quality_text import history_lines
from imports.mapping_plan import find_customer
from imports.quality import report
from imports.refusal import Refusal


class Command(BaseCommand):
    help = "How good the last imports of a customer were, as a whole or of one type with its fields, and their trend."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("customer", metavar="CUSTOMER", help="the customer's short name")
        parser.add_argument("--type", choices=TYPES, help="records of this type, with the fields of their mapping")
        parser.add_argument(
            "--limit",
            type=int,
            choices=range(1, PAGE_SIZE + 1),
            default=report.DEFAULT_JOBS,
            metavar="N",
            help=f"so many imports, 1 to {PAGE_SIZE} (%(default)s)",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object for a program")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            owner = find_customer(options["customer"])
        except Refusal as refusal:
            raise CommandError(refusal.detail) from None
        found = report.history(owner.pk, options["type"] or "", limit=options["limit"])
        if options["json"]:
            self.stdout.write(to_json(found).decode())
            return
        for line in history_lines(found, owner.slug):
            self.stdout.write(line)
