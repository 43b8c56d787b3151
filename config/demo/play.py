"""The demo from the first line to the last."""

import contextlib
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import connection

from config.demo import cast
from config.demo.crm_export import crm_export, write_export
from config.demo.house import House, open_house
from config.demo.story import Story, short
from customers.enrolment import IssuedKey
from imports.models import ImportJob, Record

# The client ends with 1 where some records failed, as the broken ones of the export do.
_PUSHED: Final = (0, 1)


def play(story: Story, *, once: bool, records: int, file: Path | None) -> int:
    """The exit status: 0 once a push went through, else the client's. Raises CannotStart; Ctrl-C leaves in order."""
    folder = settings.DATA_DIR / "demo"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    story.title()
    with ExitStack() as house_open:
        began = time.monotonic()
        with story.under_way("Starting PostgreSQL, Valkey, migrations, sweeper, workers and web"):
            house = house_open.enter_context(open_house(folder))
        house_open.callback(connection.close)
        if house.up is None:
            story.step(f"Longshore serves {house.url} already; the demo uses it")
        else:
            story.step(f"Longshore serves {house.url}", f"started in {time.monotonic() - began:.1f} s")
        customer = cast.demo_customer()
        key = cast.fresh_key(customer)
        story.step(f"Customer {customer.name} has a fresh key {key.key_id}", "valid for a day, its secret kept nowhere")
        example = None
        if file is None:
            first = next(crm_export(records=records))
            example = (first["type"], first["id"])
            with story.under_way(f"Writing an export of {records:,} records"):
                file = _write(folder / "crm-export.json", records)
            story.step(f"A made-up CRM export of {records:,} records", f"{short(file)}, about 1 % broken on purpose")
        kept_before = Record.objects.filter(customer=customer).count()
        status = _push(story, file, house, key)
        job = ImportJob.objects.filter(hmac_key=key.key).order_by("-pk").first()
        if job is None or status not in _PUSHED:
            return status or 1
        story.account(job, kept_before=kept_before, kept_now=Record.objects.filter(customer=customer).count())
        story.places(house, cast.first_admin())
        story.commands(house, job, file, key.key_id, example=example, is_staying=not once)
        if not once:
            _stay(story, house)
    story.gone(house)
    return 0


def _write(path: Path, records: int) -> Path:
    """The same seed each time, so that a second run pushes the same records."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        write_export(file, records=records, format="json")
    return path


def _push(story: Story, file: Path, house: House, key: IssuedKey) -> int:
    """The client as a caller runs it, in this terminal; its exit status."""
    story.command(["longshore", "push", short(file), "--watch"])
    source = str(settings.BASE_DIR / "clients" / "python" / "src")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH")))),
        "LONGSHORE_URL": house.url,
        "LONGSHORE_KEY_ID": key.key_id,
        "LONGSHORE_SECRET": key.secret,
    }
    for name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "MASTER_KEYS"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "longshore", "push", str(file), "--watch"]
    return subprocess.run(command, env=environment, check=False).returncode


def _stay(story: Story, house: House) -> None:
    """Until Ctrl-C, or until the house ends by itself; not at all where it is somebody else's."""
    connection.close()
    with contextlib.suppress(KeyboardInterrupt):
        story.staying(house)
        if house.up is not None:
            house.up.wait()
