import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.context import Actor, acting_as
from config import env
from config.demo.play import play
from config.demo.story import Story
from config.processes import CannotStart

RECORDS = 20_000


class Command(BaseCommand):
    help = "Starts Longshore, pushes a made-up CRM export through the signed API and shows what became of it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", default=env.flag("ONCE"), help="end after the summary")
        parser.add_argument(
            "--records", type=int, default=env.integer("RECORDS", RECORDS, minimum=1), help="default: %(default)s"
        )
        parser.add_argument("--file", default=env.text("FILE"), help="push this JSON, NDJSON or CSV file instead")

    def handle(self, *args: Any, once: bool, records: int, file: str, **options: Any) -> None:
        path = Path(file).expanduser() if file else None
        if path is not None and not path.is_file():
            raise CommandError(f"There is no file {path}.")
        signal.signal(signal.SIGTERM, _interrupt)
        story = Story()
        try:
            with acting_as(Actor("command", "demo")):
                status = play(story, once=once, records=records, file=path)
        except CannotStart as err:
            raise CommandError(str(err)) from None
        except KeyboardInterrupt:
            story.interrupted()
            status = 130
        sys.exit(status)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
