"""The house that the demo plays in: the one that serves this DATA_DIR already, or one of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from socket import socket
from urllib.parse import urlsplit

from django.conf import settings

from config import claim, listening, processes
from config.embedded import Layout
from config.listening import Address
from config.processes import CannotStart, ProcessSpec

START_SECONDS = 180.0
STOP_SECONDS = 40.0
_STEP_SECONDS = 0.05
_HOST = "127.0.0.1"
_LOG_LINES = 15


@dataclass(frozen=True)
class House:
    """`up` is the supervisor's process where the demo started it, None where somebody else did."""

    url: str
    up: "subprocess.Popen[bytes] | None"
    log: Path


@contextmanager
def open_house(folder: Path) -> Iterator[House]:
    """A house that is ready to serve; one that was started here is stopped with the block. Raises CannotStart.

    Its log lines go to `folder`/up.log, started anew each time.
    """
    log = folder / "up.log"
    running = _running_address()
    if running is not None:
        _wait(running)
        yield House(running.url, None, log)
        return
    address = _free_address()
    spec = ProcessSpec(
        name="up",
        command=[sys.executable, str(settings.BASE_DIR / "manage.py"), "up"],
        environment={**os.environ, "DATA_DIR": str(settings.DATA_DIR), "PORT": str(address.port)},
        orphan_signal=signal.SIGTERM,
        grace_seconds=STOP_SECONDS,
    )
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        up = processes.start(spec, descriptor)
    finally:
        os.close(descriptor)
    try:
        _wait(address, up, log)
        yield House(address.url, up, log)
    finally:
        processes.stop(up, spec)


def _running_address() -> Address | None:
    lock = Layout(settings.DATA_DIR).run / "up.lock"
    if not lock.exists():
        return None
    try:
        claim.take(lock, "").close()
    except claim.Taken as taken:
        note = str(taken)
    else:
        return None
    try:
        url = urlsplit(json.loads(note)["url"])
        return replace(listening.address(), host=url.hostname or _HOST, port=url.port or 80)
    except (ValueError, KeyError):
        raise CannotStart("Longshore is just starting or stopping on this DATA_DIR. Try again in a moment.") from None


def _free_address() -> Address:
    """Where PORT says, or on any free port where that one is taken."""
    address = listening.address()
    try:
        address.require_free()
    except CannotStart:
        with socket() as probe:
            probe.bind((_HOST, 0))
            address = replace(address, port=probe.getsockname()[1])
        address.require_free()
    return address


def _wait(address: Address, up: "subprocess.Popen[bytes] | None" = None, log: Path | None = None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while address.answer("/ready", host_header=_HOST) != 200:
        if (up is not None and up.poll() is not None) or time.monotonic() > deadline:
            lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:] if log else []
            raise CannotStart("\n  ".join([f"Longshore does not answer at {address.url}/ready.", *lines]))
        time.sleep(_STEP_SECONDS)
