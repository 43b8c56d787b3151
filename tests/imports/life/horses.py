"""Work-horses in processes of their own, as RQ forks them: killed at a named step, or standing still in one.

A fork and no thread or exception: what ends with the process ends as it does after kill -9, and nothing of it is
cleaned up by Python.
"""

import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import connection

from imports import attempts, failpoints, isolating, processing, retrying
from imports.management.commands.worker import _die_with_parent

STATUS = failpoints.STATUS
WAIT_SECONDS = 30.0
FAILED = 1

# Whoever holds these when the process ends: closing them here would end the sessions of the parent.
_inherited: list[Any] = []


@dataclass(frozen=True, slots=True)
class _Strike:
    """In place of a parsed FAILPOINT: `act` says what happens there, the first time that the process comes by."""

    name: str
    act: Callable[[], None]

    def strike(self, subject: bytes) -> None:
        self.act()


class Horse:
    """One work-horse at one turn of `work`, forked at once."""

    def __init__(self, work: Callable[[], object], *, point: str, is_to_stop: bool) -> None:
        told, tell = os.pipe()
        hear, go = os.pipe()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(told)
            os.close(go)
            _be(work, point=point, tell=tell, hear=hear if is_to_stop else None, parent=parent)
        os.close(tell)
        os.close(hear)
        self._told, self._go = told, go
        self._status: int | None = None

    def stands(self) -> bool:
        """Whether it stands still at its point; False where it came to its end without passing there."""
        ready, _, _ = select.select([self._told], [], [], WAIT_SECONDS)
        assert ready, "the work-horse neither stands still nor ends"
        return os.read(self._told, 1) == b"s"

    def go_on(self) -> int:
        """Its exit status, after it has come to its end."""
        os.write(self._go, b"g")
        return self.end()

    def kill(self) -> None:
        if self._status is None:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._close(-signal.SIGKILL)

    def end(self) -> int:
        """Waits for its end. What it raised fails the test here."""
        ready, _, _ = select.select([self._told], [], [], WAIT_SECONDS)
        assert ready, "the work-horse does not end"
        said = b""
        while piece := os.read(self._told, 65_536):
            said += piece
        _, wait_status = os.waitpid(self._pid, 0)
        status = os.waitstatus_to_exitcode(wait_status)
        self._close(status)
        assert status in (0, STATUS), said.decode(errors="replace")
        return status

    def _close(self, status: int) -> None:
        self._status = status
        os.close(self._told)
        os.close(self._go)


def _be(work: Callable[[], object], *, point: str, tell: int, hear: int | None, parent: int) -> None:
    """In the child; does not return."""
    try:
        _die_with_parent(parent=parent)
        _inherited.extend((connection.connection, attempts._note))
        connection.connection, attempts._note = None, None

        def strike() -> None:
            if hear is None:
                os._exit(STATUS)
            failpoints._set = None  # type: ignore[misc]
            os.write(tell, b"s")
            os.read(hear, 1)

        failpoints._set = _Strike(point, strike)  # type: ignore[misc,assignment]
        for module in (failpoints, isolating, processing, retrying):
            if hasattr(module, "hit"):
                module.hit = failpoints._strike  # type: ignore[attr-defined]
        work()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - said to the parent, whose test it fails
        os.write(tell, traceback.format_exc().encode()[-60_000:])
        os._exit(FAILED)
    finally:
        sys.exit(FAILED)
