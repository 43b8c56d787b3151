import asyncio
import json
import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from config import claim, listening
from config.embedded import EmbeddedServers, Layout
from config.greeting import greet
from config.output import Output
from config.processes import CannotStart
from config.stages import stages
from config.supervisor import Supervisor


class Command(BaseCommand):
    help = "Serves: embedded servers unless their URLs are set, migrations, web, workers and sweeper."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            status = serve(Output())
        except CannotStart as err:
            self.stderr.write(str(err))
            status = 1
        except KeyboardInterrupt:
            status = 1
        sys.exit(status)


def serve(output: Output) -> int:
    """Run until asked to stop; the exit status. Raises CannotStart with what to do."""
    address = listening.address()
    layout = Layout(settings.DATA_DIR)
    layout.create()
    lock = layout.run / "up.lock"
    last = claim.left_behind(lock)
    try:
        held = claim.take(lock, json.dumps({"pid": os.getpid(), "url": address.url}))
    except claim.Taken as taken:
        raise CannotStart(_already(str(taken))) from None
    try:
        if _running(last).get("url") == address.url:
            address.wait_until_free(output.notice)
        else:
            address.require_free()
        return _run_house(output, address)
    finally:
        claim.let_go(held)


def _run_house(output: Output, address: listening.Address) -> int:
    servers = EmbeddedServers(
        settings.DATA_DIR,
        with_postgres=not os.environ.get("DATABASE_URL"),
        with_valkey=not os.environ.get("REDIS_URL"),
        say=output.notice,
    )
    try:
        plan = stages(servers.specs(), data_dir=settings.DATA_DIR, workers=settings.WORKERS)
        supervisor = Supervisor(plan, output=output, when_started=lambda: greet(address, output.notice))
        return asyncio.run(supervisor.run())
    finally:
        servers.release()


def _running(note: str) -> dict[str, Any]:
    try:
        running: dict[str, Any] = json.loads(note)
    except ValueError:
        return {}
    return running


def _already(note: str) -> str:
    running = _running(note)
    who = "process {pid} serves {url}".format_map(running) if running else "another process is just starting"
    return (
        f"Longshore already runs on DATA_DIR={settings.DATA_DIR}: {who}. Stop it there first, or choose another "
        "DATA_DIR and PORT."
    )
