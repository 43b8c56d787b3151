import os
import resource
import signal
import sys
import threading
import time
import warnings
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from config import listening
from config.processes import CannotStart, dies_with, has_death_signal

# granian counts connections, sockets among them. PostgreSQL is guarded by the pool, memory by the gate.
CONNECTIONS = 4096
KILL_AFTER_SECONDS = 6
# Read buffer and limit of a request's head in one. Measured: 50 MB come in as fast as with granian's 408 KiB, with
# 64 KiB in twice the time.
BUFFER_BYTES = 128 * 1024
# granian's own loggers write through Django's.
_LOGGING = {
    "handlers": {},
    "formatters": {},
    "loggers": {"_granian": {"level": "WARNING"}, "granian.access": {"level": "WARNING"}},
}


class Command(BaseCommand):
    help = "Serves HTTP and WebSocket on HOST (127.0.0.1) and PORT (8000) with WEB processes."

    def handle(self, *args: Any, **options: Any) -> None:
        address = listening.address()
        try:
            address.require_free()
        except CannotStart as err:
            self.stderr.write(str(err))
            sys.exit(1)
        _raise_file_limit()
        connections.close_all()  # a database connection never crosses a fork
        server = Granian(
            "config.asgi:application",
            address=address.host,
            port=address.port,
            interface=Interfaces.ASGINL,
            workers=settings.WEB,
            http=HTTPModes.http1,
            websockets=True,
            backlog=1024,
            backpressure=CONNECTIONS,
            http1_settings=HTTP1Settings(header_read_timeout=15_000, max_buffer_size=BUFFER_BYTES),
            log_level=LogLevels.warning,
            log_dictconfig=_LOGGING,
            log_access=False,
            ssl_cert=address.certificate,
            ssl_key=address.key,
            respawn_failed_workers=True,
            workers_kill_timeout=KILL_AFTER_SECONDS,
        )
        server.serve(target_loader=partial(load, os.getpid()), wrap_loader=False)


def load(parent: int) -> Any:
    """The application, inside a worker of granian, which dies with granian's own parent process."""
    dies_with(parent, signal.SIGKILL)()
    if not has_death_signal():
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    # Without collectstatic the finders serve the static files, and the missing directory is no news.
    warnings.filterwarnings("ignore", message="No directory at", category=UserWarning)
    from config.asgi import application

    return application


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


def _raise_file_limit() -> None:
    """Each connection is an open file, and the usual soft limit is 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(65536, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
