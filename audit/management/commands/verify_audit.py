"""`manage.py verify_audit`: is the trail whole? Exit status 0 if it is, 1 if it is broken."""

import json
import re
import sys
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.verification import Checkpoint, Verification, verify_chain


class Command(BaseCommand):
    help = "Check every audit event, its link to the one before and the head. Exit status 1: it is broken."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--from",
            dest="start",
            type=int,
            default=1,
            metavar="N",
            help="begin at event N and believe those before it",
        )
        parser.add_argument(
            "--checkpoint",
            type=_checkpoint,
            metavar="SEQUENCE:HASH",
            help="the chain must still pass here, as an earlier run printed it",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object for a program")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = verify_chain(start=options["start"], checkpoint=options["checkpoint"])
        except ValueError as err:
            raise CommandError(str(err)) from err
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(found)))
        elif found.first_bad is None:
            self.stdout.write(self.style.SUCCESS(f"{found.count} audit events, unbroken."))
            self.stdout.write(f"Checkpoint to keep outside this database: {_as_text(found.last)}")
        else:
            self.stdout.write(self.style.ERROR(f"The audit trail is broken at event {found.first_bad}. {found.reason}"))
            self.stdout.write(f"{found.count} events before it hold. Tell your security contact.")
            self.stdout.write("Keep the database as it is: a copy of it shows what was changed.")
        if found.first_bad is not None:
            sys.exit(1)


def _checkpoint(text: str) -> Checkpoint:
    parts = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", text)
    if not parts:
        raise ArgumentTypeError(
            "write it as an earlier run printed it: the event's number, a colon, 64 hexadecimal digits"
        )
    return Checkpoint(int(parts[1]), bytes.fromhex(parts[2]))


def _as_text(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.sequence}:{checkpoint.hash.hex()}"


def _as_json(found: Verification) -> dict[str, Any]:
    return {
        "unbroken": found.first_bad is None,
        "count": found.count,
        "firstBad": found.first_bad,
        "reason": found.reason or None,
        "checkpoint": _as_text(found.last),
    }
