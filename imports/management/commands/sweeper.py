import logging
import signal
import threading
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, InterfaceError, close_old_connections

from audit.context import Actor, acting_as
from imports import sweeper, timeouts
from imports.key_rotation import Rotator

TIDY_EVERY = 120
# Ringing comes first: re-encryption gets less than half of a sweeper's time.
ROTATION_SECONDS = 0.3

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Rings again for work that nobody holds, twice a second. Any number may run."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()

        def on_signal(number: int, frame: FrameType | None) -> None:
            stop.set()

        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)
        # Of its statements some look through whole tables, as at the end of a key rotation.
        timeouts.bound_waits(lock_seconds=settings.WORKER_LOCK_SECONDS, statement_seconds=0)
        sweeps = 0
        rotator = Rotator()
        with acting_as(Actor("system", "sweeper")):
            while not stop.wait(sweeper.SWEEP_SECONDS):
                try:
                    sweeper.sweep()
                    if sweeps % TIDY_EVERY == 0:
                        sweeper.tidy()
                    rotator.work(seconds=ROTATION_SECONDS)
                except (DatabaseError, InterfaceError) as err:
                    # The database is away or has just ended this connection: the next sweep opens a new one.
                    logger.warning("sweep_failed cause=%s", type(err).__name__)
                    close_old_connections()
                sweeps += 1
