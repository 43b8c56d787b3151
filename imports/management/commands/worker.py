import ctypes
import gc
import os
import secrets
import signal
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import connections
from rq import Worker
from rq.serializers import JSONSerializer

from audit.context import Actor, acting_as
from imports import doorbell, tasks

PR_SET_PDEATHSIG = 1


class ImportWorker(Worker):
    """RQ's worker. Its work-horse dies with it, and takes over no connection from it."""

    def fork_work_horse(self, job: Any, queue: Any) -> None:
        connections.close_all()
        super().fork_work_horse(job, queue)

    def main_work_horse(self, job: Any, queue: Any) -> None:
        _die_with_parent(parent=os.getppid())
        # It lives for about a second; looking for cycles meanwhile took 6 % of its time and freed nothing worth it.
        gc.disable()
        super().main_work_horse(job, queue)

    def perform_job(self, job: Any, queue: Any, execution: Any) -> bool:
        with acting_as(Actor("system", self.name)):
            return bool(super().perform_job(job, queue, execution))


class Command(BaseCommand):
    help = "Works on imports whenever the doorbell rings. Run as many as there are processors to spare."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", default=f"worker-{os.uname().nodename}-{os.getpid()}")
        parser.add_argument("--burst", action="store_true", help="End when the queue is empty.")

    def handle(self, *args: Any, name: str, burst: bool, **options: Any) -> None:
        # Loaded here once, and not in every work-horse anew.
        assert tasks.work.__module__ == doorbell.ENTRY_POINT.rpartition(".")[0]  # noqa: S101
        queue = doorbell.queue()
        # RQ refuses the name of a worker that was killed for as long as it may live: seven minutes without imports.
        unique = f"{name}-{secrets.token_hex(3)}"
        worker = ImportWorker([queue], name=unique, connection=queue.connection, serializer=JSONSerializer)
        worker.work(burst=burst, logging_level="WARNING", with_scheduler=False)


def _die_with_parent(*, parent: int) -> None:
    """The kernel kills this process when its parent dies; without it an orphan would work on, harmless but unseen."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
