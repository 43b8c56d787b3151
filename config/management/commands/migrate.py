import time
from typing import Any

from django.core.management.commands.migrate import Command as MigrateCommand
from django.db import connections

# Any fixed number: it only has to be the same on every host.
LOCK = 0x4C6F6E67
STEP_SECONDS = 0.2


class Command(MigrateCommand):
    """Django's migrate, one at a time per database, so that several hosts may start together."""

    def handle(self, *args: Any, **options: Any) -> None:
        # A connection of its own: it holds the lock whatever the migrations do with theirs.
        holder = connections[options["database"]].copy()
        try:
            with holder.cursor() as cursor:
                told = False
                while True:
                    cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
                    if cursor.fetchone()[0]:
                        break
                    if not told:
                        self.stdout.write("Another host migrates this database; waiting for it.")
                        told = True
                    time.sleep(STEP_SECONDS)
            super().handle(*args, **options)
        finally:
            holder.close()
