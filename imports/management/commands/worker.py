import ctypes
import gc
import logging
import os
import secrets
import signal
import sys
import time
from contextlib import suppress
from typing import Any

import redis
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import connections
from rq import Worker
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty

from audit.context import Actor, acting_as
from imports import attempts, confinement, doorbell, tasks, timeouts

PR_SET_PDEATHSIG = 1

logger = logging.getLogger(__name__)


class ImportWorker(Worker):
    """RQ's worker. Its work-horse dies with it, and takes over no connection from it."""

    # RQ looks for a Valkey that is away ever less often, at last once a minute, and stays idle meanwhile.
    max_connection_wait_time = 1.0

    def fork_work_horse(self, job: Any, queue: Any) -> None:
        connections.close_all()
        super().fork_work_horse(job, queue)

    def main_work_horse(self, job: Any, queue: Any) -> None:
        _die_with_parent(parent=os.getppid())
        # It lives for about a second; looking for cycles meanwhile took 6 % of its time and freed nothing worth it.
        gc.disable()
        self.death_penalty_class = _NoPenalty
        super().main_work_horse(job, queue)

    def setup_work_horse_signals(self) -> None:
        super().setup_work_horse_signals()  # type: ignore[no-untyped-call]
        confinement.confine(memory_mb=settings.WORKER_MEMORY_MB, batch_seconds=settings.WORKER_BATCH_SECONDS)

    def handle_work_horse_killed(self, job: Any, retpid: int, ret_val: int, rusage: Any) -> None:
        """Only the parent can tell how it ended: the kernel leaves a work-horse no time for a note of its own."""
        super().handle_work_horse_killed(job, retpid, ret_val, rusage)  # type: ignore[no-untyped-call]
        attempts.note_kill(self.name, confinement.how_ended(ret_val))

    def handle_warm_shutdown_request(self) -> None:
        if self.horse_pid:
            with suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGTERM)

    def perform_job(self, job: Any, queue: Any, execution: Any) -> bool:
        with acting_as(Actor("system", self.name)):
            return bool(super().perform_job(job, queue, execution))


class _NoPenalty(BaseDeathPenalty):
    """A work-horse's time is the kernel's to take (imports/confinement.py): RQ's exception waits for Python to run."""

    def setup_death_penalty(self) -> None:
        return

    def cancel_death_penalty(self) -> None:
        return


class Command(BaseCommand):
    help = "Works on imports whenever the doorbell rings. Run as many as there are processors to spare."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", default=f"worker-{os.uname().nodename}-{os.getpid()}")
        parser.add_argument("--burst", action="store_true", help="End when the queue is empty.")

    def handle(self, *args: Any, name: str, burst: bool, **options: Any) -> None:
        # Loaded here once, and not in every work-horse anew.
        assert tasks.work.__module__ == doorbell.ENTRY_POINT.rpartition(".")[0]  # noqa: S101
        timeouts.bound_waits(
            lock_seconds=settings.WORKER_LOCK_SECONDS, statement_seconds=settings.WORKER_STATEMENT_SECONDS
        )
        queue = doorbell.queue()
        _wait_for(queue.connection)
        # RQ refuses the name of a worker that was killed for as long as it may live: seven minutes without imports.
        unique = f"{name}-{secrets.token_hex(3)}"
        worker = ImportWorker([queue], name=unique, connection=queue.connection, serializer=JSONSerializer)
        worker.work(burst=burst, logging_level="WARNING", with_scheduler=False)


def _wait_for(valkey: "redis.Redis") -> None:
    """RQ's worker ends where Valkey is away; waiting here it is at work again as soon as Valkey is back."""
    is_told = False
    while True:
        try:
            valkey.ping()
        except redis.RedisError as err:
            if not is_told:
                logger.warning("worker_waits_for_valkey cause=%s", type(err).__name__)
            is_told = True
            time.sleep(0.2)
        else:
            return


def _die_with_parent(*, parent: int) -> None:
    """The kernel kills this process when its parent dies; without it an orphan would work on, harmless but unseen."""
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
