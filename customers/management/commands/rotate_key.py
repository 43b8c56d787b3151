"""`manage.py rotate_key KEY_ID`: a new key beside the old one, which ends after the overlap."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.context import Actor, acting_as
from customers.enrolment import MAX_OVERLAP_HOURS, OVERLAP_HOURS, EnrolmentError, rotate_key
from customers.management.issued import find_key, write_issued


class Command(BaseCommand):
    help = "Issue a new key beside an old one. Both work until the overlap ends, so nothing has to stop."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key_id", metavar="KEY_ID", help="the key to replace, bk_…")
        parser.add_argument(
            "--overlap-hours",
            type=int,
            default=OVERLAP_HOURS,
            metavar="HOURS",
            help=f"how long the old key keeps working, 0 to {MAX_OVERLAP_HOURS} (default: {OVERLAP_HOURS})",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object for a program")

    def handle(self, *args: Any, **options: Any) -> None:
        old = find_key(options["key_id"])
        try:
            with acting_as(Actor("command", "rotate_key")):
                issued = rotate_key(old, overlap_hours=options["overlap_hours"])
        except EnrolmentError as error:
            raise CommandError(str(error)) from None
        old.refresh_from_db(fields=["expires_at"])
        headline = f"Key {old.key_id} works until {old.expires_at:%Y-%m-%d %H:%M} UTC; this one takes its place."
        write_issued(self, headline, old.customer, issued, as_json=options["json"])
