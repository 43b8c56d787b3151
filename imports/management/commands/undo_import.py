"""`manage.py undo_import JOB [--plan]`: takes an import back, or says what that would do."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.context import Actor, acting_as
from imports import undo_plan, undoing
from imports.models import ImportJob, KeptRecord
from imports.refusal import Refusal


class Command(BaseCommand):
    help = (
        "Undo an import: what it created is removed, what it updated is restored, what has changed since stays. "
        "The workers do it; run the command again to see how far it is."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("job", metavar="JOB", type=UUID, help="the import's id")
        parser.add_argument("--plan", action="store_true", help="only say what it would do")

    def handle(self, *args: Any, job: UUID, plan: bool, **options: Any) -> None:
        found = ImportJob.objects.filter(uuid=job).first()
        if found is None:
            raise CommandError(f"There is no import {job}.")
        try:
            with acting_as(Actor("command", "undo_import")):
                if plan:
                    self._say_plan(undo_plan.plan(found))
                else:
                    self._say(undo_plan.describe(undoing.start(found)))
        except Refusal as refusal:
            raise CommandError(refusal.detail) from refusal

    def _say_plan(self, plan: undo_plan.Plan) -> None:
        self.stdout.write(
            f"{plan['remove']:,} records would be removed, {plan['restore']:,} restored and {plan['keep']:,} stay; "
            f"{plan['discard']:,} failed records would be given up. Nothing was changed."
        )
        self._say_reasons(plan["keptBecause"])

    def _say(self, state: undo_plan.UndoState) -> None:
        counts = state["counts"]
        self.stdout.write(
            f"{state['state']}: {counts['done']:,} of {counts['total']:,} records gone through; {counts['removed']:,} "
            f"removed, {counts['restored']:,} restored, {counts['kept']:,} stay, {counts['gone']:,} were gone."
        )
        self._say_reasons(state["keptBecause"])

    def _say_reasons(self, reasons: dict[str, int]) -> None:
        for reason, count in reasons.items():
            self.stdout.write(f"  {count:,} stay: {KeptRecord.Reason(reason).label}.")
