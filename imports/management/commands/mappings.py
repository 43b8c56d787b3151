"""`manage.py mappings …`: how records become ours, by customer and record type, as files and as versions."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.context import Actor, acting_as
from imports import mapping_plan, mapping_versions, rehearsal
from imports.checking import TYPES
from imports.management.mapping_text import describe, difference_lines, headline, step_lines, to_json
from imports.management.rehearsal_text import add_rehearsal_arguments, rehearsal_lines
from imports.mapping import document
from imports.mapping.difference import Difference, difference
from imports.mapping.mistake import UnfitMapping
from imports.mapping_plan import Step, find_customer
from imports.mapping_rows import define
from imports.models import Mapping
from imports.refusal import Refusal

CHANGES: Final = 3
"""Exit status of a plan that would change something; 0 is nothing to do, 1 a mistake, 2 a command that is not one."""


class Command(BaseCommand):
    help = (
        "Mappings as code: plan says what apply would do with a file (exit status 0: nothing, 3: changes, "
        "1: mistakes), apply publishes what the file says. The others look at versions and move between them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

        def add(name: str, says: str) -> CommandParser:
            command: CommandParser = commands.add_parser(name, help=says, description=says)
            command.add_argument("--json", action="store_true", help="print one JSON value for a program")
            return command

        listed = add("list", "the versions that are published or drafts")
        listed.add_argument("--all", action="store_true", help="archived ones too")
        listed.add_argument("--customer", metavar="SLUG")
        for name, says in (
            ("plan", "what apply would do"),
            ("apply", "publish what a file says, all of it or nothing"),
        ):
            command = add(name, says)
            command.add_argument("file", metavar="FILE", help="YAML or JSON; - reads standard input")
            command.add_argument("--customer", metavar="SLUG", help="whose mappings those are that name nobody")
            command.add_argument("--draft", action="store_true", help="leave it a draft")
        exported = add("export", "published mappings as a file that applies")
        exported.add_argument("--customer", metavar="SLUG", help="of this customer alone")
        for name, says in (
            ("show", "what a version says; without VERSION the published one"),
            ("draft", "a new draft that says what VERSION says"),
            ("edit", "give a draft the content of FILE"),
            ("discard", "remove a draft"),
            ("publish", "publish a draft"),
            ("rollback", "publish an older version again, under a new number; without VERSION the one before"),
            ("archive", "no mapping for this type any more: records are stored as they come"),
            ("diff", "what changed between two versions; without them from the published one to the newest draft"),
            ("rehearse", "run a version, else the newest, over the last records, beside the published one; masked"),
        ):
            command = add(name, says)
            command.add_argument("customer", metavar="CUSTOMER", help="the customer's short name")
            command.add_argument("type", metavar="TYPE", choices=TYPES, help=", ".join(TYPES))
            if name in ("draft", "edit", "discard", "publish"):
                command.add_argument("version", metavar="VERSION", type=int)
            elif name != "archive":
                command.add_argument("version", metavar="VERSION", type=int, nargs="?")
            if name == "diff":
                command.add_argument("to", metavar="TO", type=int, nargs="?")
            if name == "rehearse":
                add_rehearsal_arguments(command)
            if name == "edit":
                command.add_argument(
                    "file", metavar="FILE", help="YAML or JSON with one mapping; - reads standard input"
                )

    def handle(self, *args: Any, **options: Any) -> None:
        acts: dict[str, Callable[[dict[str, Any]], None]] = {
            "list": self._list,
            "plan": self._plan,
            "apply": self._apply,
            "export": self._export,
            "show": self._show,
            "draft": self._draft,
            "edit": self._edit,
            "discard": self._discard,
            "publish": self._publish,
            "rollback": self._roll_back,
            "archive": self._archive,
            "diff": self._diff,
            "rehearse": self._rehearse,
        }
        try:
            with acting_as(Actor("command", "mappings")):
                acts[options["command"]](options)
        except UnfitMapping as unfit:
            if options["json"]:
                self._json({"mistakes": unfit.mistakes})
            count = len(unfit.mistakes)
            raise CommandError(f"{count} {'mistake' if count == 1 else 'mistakes'}:\n{unfit}") from None
        except Refusal as refusal:
            if options["json"]:
                self._json({"code": refusal.code, "detail": refusal.detail})
            raise CommandError(refusal.detail) from None

    def _list(self, options: dict[str, Any]) -> None:
        found = Mapping.objects.select_related("customer").order_by("customer__slug", "record_type", "-version")
        if options["customer"]:
            found = found.filter(customer=find_customer(options["customer"]))
        if not options["all"]:
            found = found.exclude(state=Mapping.State.ARCHIVED)
        if options["json"]:
            self._json([describe(version) for version in found])
            return
        for version in found:
            self.stdout.write(headline(version))
        if not found:
            self.stdout.write("There are none. manage.py mappings apply FILE makes them.")

    def _plan(self, options: dict[str, Any]) -> None:
        steps = mapping_plan.plan(_text(options["file"]), customer=options["customer"], as_draft=options["draft"])
        self._steps(steps, options, is_done=False)
        if any(step.action != "unchanged" for step in steps):
            sys.exit(CHANGES)

    def _apply(self, options: dict[str, Any]) -> None:
        steps = mapping_plan.apply(_text(options["file"]), customer=options["customer"], as_draft=options["draft"])
        self._steps(steps, options, is_done=True)

    def _steps(self, steps: list[Step], options: dict[str, Any], *, is_done: bool) -> None:
        if options["json"]:
            self._json(steps)
            return
        for step in steps:
            for line in step_lines(step, is_done=is_done):
                self.stdout.write(line)
        changes = sum(step.action != "unchanged" for step in steps)
        did = "changed" if is_done else "to change"
        self.stdout.write(f"{changes} {did}, {len(steps) - changes} unchanged.")

    def _export(self, options: dict[str, Any]) -> None:
        chosen = Mapping.objects.filter(state=Mapping.State.PUBLISHED)
        if options["customer"]:
            chosen = chosen.filter(customer=find_customer(options["customer"]))
        text = mapping_plan.export(chosen)
        if options["json"]:
            self._json({"document": text})
        else:
            self.stdout.write(text, ending="")

    def _show(self, options: dict[str, Any]) -> None:
        version = _version(options)
        if options["json"]:
            self._json({**describe(version), "mapping": define(version)})
            return
        self.stdout.write(f"# {headline(version)}")
        self.stdout.write(document.dump([(version.customer.slug, define(version))]), ending="")

    def _draft(self, options: dict[str, Any]) -> None:
        owner = find_customer(options["customer"])
        self._done(mapping_versions.draft_from(owner, options["type"], options["version"]), options)

    def _edit(self, options: dict[str, Any]) -> None:
        version = _version(options)
        meant = document.load(_text(options["file"]))
        if len(meant) != 1:
            raise CommandError(f"The file holds {len(meant)} mappings; one is wanted here.")
        slug, content = meant[0]
        if slug is not None and slug != version.customer.slug:
            raise CommandError(f"The file is a mapping of {slug}, not of {version.customer.slug}.")
        self._done(mapping_versions.change(version, content), options)

    def _discard(self, options: dict[str, Any]) -> None:
        version = _version(options)
        said = headline(version)
        mapping_versions.discard(version)
        if options["json"]:
            self._json(describe(version))
        else:
            self.stdout.write(f"Discarded: {said}")

    def _publish(self, options: dict[str, Any]) -> None:
        self._done(mapping_versions.publish(_version(options)), options)

    def _roll_back(self, options: dict[str, Any]) -> None:
        owner = find_customer(options["customer"])
        self._done(mapping_versions.roll_back(owner, options["type"], to=options["version"]), options)

    def _archive(self, options: dict[str, Any]) -> None:
        self._done(mapping_versions.archive(find_customer(options["customer"]), options["type"]), options)

    def _diff(self, options: dict[str, Any]) -> None:
        old, new = _pair(options)
        found = difference(define(old), define(new))
        if options["json"]:
            self._json({"from": old.version, "to": new.version, "difference": found})
            return
        self.stdout.write(f"--- {headline(old)}")
        self.stdout.write(f"+++ {headline(new)}")
        for line in difference_lines(found) if found != Difference() else ["  They say the same."]:
            self.stdout.write(line)

    def _rehearse(self, options: dict[str, Any]) -> None:
        version = _newest(options)
        found = rehearsal.rehearse(
            version, last=options["last"], samples=options["samples"], seconds=options["seconds"]
        )
        if options["json"]:
            self._json(found)
            return
        for line in rehearsal_lines(found):
            self.stdout.write(line)

    def _done(self, version: Mapping, options: dict[str, Any]) -> None:
        if options["json"]:
            self._json(describe(version))
        else:
            self.stdout.write(self.style.SUCCESS(headline(version)))

    def _json(self, value: Any) -> None:
        self.stdout.write(to_json(value).decode())


def _text(name: str) -> str:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return data.decode()
    except OSError as err:
        raise CommandError(f"{name} cannot be read: {err.strerror}.") from None
    except UnicodeDecodeError:
        raise CommandError(f"{name} is not text in UTF-8.") from None


def _version(options: dict[str, Any]) -> Mapping:
    owner, record_type = find_customer(options["customer"]), options["type"]
    if options["version"] is not None:
        return mapping_versions.find(owner, record_type, options["version"])
    current = mapping_versions.published(owner, record_type)
    if current is None:
        raise CommandError(f"{owner.slug} has no published mapping for {record_type}; name a version.")
    return current


def _newest(options: dict[str, Any]) -> Mapping:
    owner, record_type = find_customer(options["customer"]), options["type"]
    if options["version"] is not None:
        return mapping_versions.find(owner, record_type, options["version"])
    newest = mapping_versions.newest(owner, record_type)
    if newest is None:
        raise CommandError(f"{owner.slug} has no mapping for {record_type}.")
    return newest


def _pair(options: dict[str, Any]) -> tuple[Mapping, Mapping]:
    """From and to; what is left out is the published one and the newest."""
    old = _version(options)
    owner, record_type = old.customer, old.record_type
    if options["to"] is not None:
        return old, mapping_versions.find(owner, record_type, options["to"])
    newest = mapping_versions.newest(owner, record_type)
    return old, newest or old
