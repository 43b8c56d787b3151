"""Ends the children of a process that died, on systems whose kernel does not (those without prctl, such as macOS).

A warden is a child that reads "+pid signal" and "-pid" lines. When its input ends, its parent is dead or done, and
whatever is still on the list gets its signal.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


class Warden:
    """Started by the process whose death it waits for."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())], stdin=subprocess.PIPE, start_new_session=True
        )

    def watch(self, pid: int, number: signal.Signals) -> None:
        """Send `number` to `pid` when this process dies."""
        self._tell(f"+{pid} {int(number)}\n")

    def forget(self, pid: int) -> None:
        """The child has ended; its number may go to a stranger."""
        self._tell(f"-{pid}\n")

    def _tell(self, line: str) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()


def stand_watch(lines: Iterable[str]) -> None:
    """The warden's own life: until the lines end."""
    watched: dict[int, int] = {}
    for line in lines:
        if line.startswith("+"):
            pid, number = line[1:].split()
            watched[int(pid)] = int(number)
        else:
            watched.pop(int(line[1:]), None)
    for survivor, last_signal in watched.items():
        with contextlib.suppress(ProcessLookupError):
            os.kill(survivor, last_signal)


if __name__ == "__main__":
    stand_watch(sys.stdin)
