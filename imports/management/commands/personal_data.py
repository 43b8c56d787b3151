"""`manage.py personal_data find|export|erase CUSTOMER ID`: one person's data, wherever it lies."""

import os
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.context import Actor, acting_as
from customers.cipher import DecryptionError
from customers.keyring import NoKeyError
from customers.models import Customer
from imports.checking import MAX_ID_LENGTH, TYPES
from imports.mapping import path
from imports.personal import requests
from imports.personal.document import as_json
from imports.personal.erasing import StillHeldError
from imports.personal.requests import Answer
from imports.personal.subject import UNKNOWN, Subject

_PLACES = {
    "record": "stored records",
    "earlier": "earlier contents of records",
    "failed": "failed records",
    "sent": "places in what imports sent",
}


class Command(BaseCommand):
    help = (
        "Find, export or erase one person's data by its business id: stored records, failed records, and what every "
        "import sent that is kept. An ID of - is read from standard input, so that it stands in no list of processes."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["find", "export", "erase"])
        parser.add_argument("customer", metavar="CUSTOMER", help="the customer's short name")
        parser.add_argument("id", metavar="ID", help="the business id as it was sent, or - for standard input")
        parser.add_argument(
            "--type",
            action="append",
            choices=[*TYPES, UNKNOWN],
            help="only records of this type, may be repeated; unknown are those that name none. Without it: any type",
        )
        parser.add_argument(
            "--related",
            action="append",
            metavar="PATH",
            help="also records in which the id stands at this path, such as attributes.customerId; may be repeated",
        )
        parser.add_argument(
            "--unreadable",
            action="store_true",
            help="also what cannot be read as a record and holds the id in quotes; it may be somebody else's",
        )
        parser.add_argument("--output", type=Path, metavar="FILE", help="write the export to a new file, for you alone")
        parser.add_argument("--yes", action="store_true", help="erase without asking")

    def handle(self, *args: Any, what: str, customer: str, **options: Any) -> None:
        found = Customer.objects.filter(slug=customer).first()
        if found is None:
            raise CommandError(f"There is no customer {customer!r}. The admin lists them by short name.")
        subject = _subject(found, options)
        try:
            with acting_as(Actor("command", "personal_data")):
                if what == "find":
                    self._find(subject)
                elif what == "export":
                    self._export(subject, options["output"])
                else:
                    self._erase(subject, is_sure=options["yes"])
        except NoKeyError as err:
            raise CommandError(str(err)) from err
        except DecryptionError as err:
            raise CommandError(f"The data does not open: {err}") from err
        except StillHeldError as err:
            raise CommandError(
                f"{err} What was free is erased; run this again, and look for a session that stands still."
            ) from err

    def _find(self, subject: Subject) -> None:
        answer = requests.find(subject, step=self._step)
        self._tell(answer)
        self._warn(answer)

    def _export(self, subject: Subject, output: Path | None) -> None:
        answer = requests.export(subject, step=self._step)
        content = as_json(answer.content)
        if output is None:
            self.stdout.write(content.decode(), ending="")
        else:
            try:
                with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(content)
            except FileExistsError:
                raise CommandError(f"{output} exists; name a new file.") from None
            self._tell(answer)
        self._warn(answer)

    def _erase(self, subject: Subject, *, is_sure: bool) -> None:
        if not (is_sure and subject.types):
            found = requests.find(subject, step=self._step)
            if len(found.types) > 1 and not subject.types:
                raise CommandError(
                    f"This id stands for {', '.join(found.types)}, which may be different things. "
                    "Nothing was erased; name what you mean by --type, once for each."
                )
            if not is_sure:
                self._tell(found)
                if input("Nothing brings it back. Type erase to go on: ").strip() != "erase":
                    raise CommandError("Nothing was erased.")
        answer = requests.erase(subject, step=self._step)
        self._tell(answer)
        self._warn(answer)
        self.stdout.write(self.style.SUCCESS("Erased, from this database. Dumps made before: docs/personal-data.md."))

    def _tell(self, answer: Answer) -> None:
        for place, count in answer.counts.items():
            self.stdout.write(f"{count:>8,} {_PLACES[place]}")
        if answer.types:
            self.stdout.write(f"as {', '.join(answer.types)}")
        for job, count in answer.jobs.items():
            self.stdout.write(f"{count:>8,} by import {job}")
        self.stdout.write(f"request {answer.request}, by which the audit trail knows it")

    def _warn(self, answer: Answer) -> None:
        if answer.unreadable:
            raise CommandError(
                f"{answer.unreadable} values did not open and may hold more: see ciphertext_unreadable in the log."
            )

    def _step(self, done: int, total: int) -> None:
        if sys.stderr.isatty() and (done == total or done % 20 == 0):
            self.stderr.write(f"\r{done:,} of {total:,} payloads read", ending="\n" if done == total else "")


def _subject(customer: Customer, options: dict[str, Any]) -> Subject:
    external_id = options["id"] if options["id"] != "-" else sys.stdin.readline().rstrip("\r\n")
    if not 1 <= len(external_id) <= MAX_ID_LENGTH:
        raise CommandError(f"An id has 1 to {MAX_ID_LENGTH} characters.")
    related = []
    for text in options["related"] or ():
        try:
            related.append(path.parse(text))
        except ValueError as err:
            raise CommandError(f"--related {text}: {err}.") from err
    return Subject(
        customer.pk,
        external_id,
        types=frozenset(options["type"] or ()),
        related=tuple(related),
        in_unreadable=options["unreadable"],
    )
