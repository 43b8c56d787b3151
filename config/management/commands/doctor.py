import json
import sys
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandParser

from config.doctor import Finding, State, examine

_SUBJECT_WIDTH: Final = 15


class Command(BaseCommand):
    help = "Looks whether the house is in order and changes nothing. Exit status 1: something is at fault."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object for a program")

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        findings = []
        for finding in examine():
            findings.append(finding)
            if not json:
                self.stdout.write(self._line(finding))
        faults = sum(finding.state is State.FAULT for finding in findings)
        if json:
            self.stdout.write(_as_json(findings))
        elif faults:
            self.stdout.write(self.style.ERROR(f"{faults} of {len(findings)} at fault."))
        else:
            self.stdout.write(self.style.SUCCESS("No fault found."))
        if faults:
            sys.exit(1)

    def _line(self, finding: Finding) -> str:
        style = {State.OK: self.style.SUCCESS, State.WARNING: self.style.WARNING, State.FAULT: self.style.ERROR}
        return f"{style[finding.state](f'{finding.state.value:<8}')} {finding.subject:<{_SUBJECT_WIDTH}} {finding.says}"


def _as_json(findings: list[Finding]) -> str:
    return json.dumps(
        {
            "healthy": all(finding.state is not State.FAULT for finding in findings),
            "findings": [
                {"subject": finding.subject, "state": finding.state.name.lower(), "says": finding.says}
                for finding in findings
            ],
        }
    )
