"""Named places where a test makes a process fail. Unset, as always outside tests, each is an empty call.

    FAILPOINT=name[=action][:count][@match]

`action` is exit (status 137 and no goodbye, the default), stop (SIGSTOP for a few seconds), error (a lost database),
memory (more than any limit) or hang (for ever). It strikes `count` times (1), counted over all processes of one
DATA_DIR, so that a restarted one does not fail again; `match` is a text that the subject of the place must hold.
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from django.db import OperationalError

T = TypeVar("T")

POINTS: Final = (
    "body_read",  # web: the whole body is here, nothing is stored
    "accepting",  # web: the job is written, not committed
    "accepted",  # web: committed, nobody was rung
    "resealing",  # web: a committed dry run is being copied
    "committing",  # web: it is copied, not committed
    "rung",  # web, worker, sweeper: Valkey has the message
    "message_taken",  # work-horse: before it looks for a batch
    "claimed",  # the batch's row is locked
    "attempt_noted",
    "reading_record",  # once a record, whose bytes are its subject
    "copying",  # in the middle of a COPY of records
    "upserted",  # records written, failures and counts not
    "counted",  # everything written, before the commit
    "committed",  # before anything else is done
    "publishing",  # committed, the sockets know nothing yet
    "attempt_ended",
    "passing_on",  # a turn is over, with work left
    "splitting",  # a killer batch is in pieces, before the commit
    "unwound",  # a batch of an undo is taken back, before the commit
    "unwound_committed",
    "sweeping",  # sweeper: before it rings
    "restarting",  # supervisor: a child died
)
STOP_SECONDS: Final = 3.0
STATUS: Final = 137

_BEYOND_LIMITS: Final = 1 << 36
_FOR_EVER: Final = 1e6

_FORM: Final = re.compile(
    r"(?P<name>[a-z_]+)(=(?P<action>exit|stop|error|memory|hang))?(:(?P<count>\d+))?(@(?P<match>.+))?"
)


@dataclass(frozen=True, slots=True)
class _Failpoint:
    name: str
    action: str
    count: int
    match: bytes

    def strike(self, subject: bytes) -> None:
        if self.match in subject and self._is_due():
            if self.action == "exit":
                os._exit(STATUS)
            if self.action == "error":
                raise OperationalError(f"failpoint {self.name}")
            if self.action == "memory":
                bytearray(_BEYOND_LIMITS)
            elif self.action == "hang":
                time.sleep(_FOR_EVER)
            else:
                _stop_for(STOP_SECONDS)

    def _is_due(self) -> bool:
        folder = Path(os.environ.get("DATA_DIR", ".data"))
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(self.count):
            try:
                os.close(os.open(folder / f"failpoint.{self.name}.{number}", os.O_CREAT | os.O_EXCL, 0o600))
            except FileExistsError:
                continue
            return True
        return False


def parse(text: str) -> _Failpoint | None:
    """The failpoint of an environment's FAILPOINT; None for an empty one. Raises ValueError."""
    if not text:
        return None
    found = _FORM.fullmatch(text)
    if found is None or found["name"] not in POINTS:
        raise ValueError("FAILPOINT must be name[=action][:count][@match], with a name of imports/failpoints.py.")
    return _Failpoint(
        found["name"], found["action"] or "exit", int(found["count"] or 1), (found["match"] or "").encode()
    )


_set: Final = parse(os.environ.get("FAILPOINT", ""))


def _pass(name: str, subject: bytes = b"") -> None:
    """Nothing is set."""


def _strike(name: str, subject: bytes = b"") -> None:
    if _set is not None and _set.name == name:
        _set.strike(subject)


hit: Final[Callable[..., None]] = _pass if _set is None else _strike
"""Call it at the place: hit(name), or hit(name, subject)."""


def each(name: str, items: Iterable[T]) -> Iterable[T]:
    """The items, with the place before the middle one; the very same object where nothing is set."""
    if _set is None or _set.name != name:
        return items
    return _interrupted(name, list(items))


def watched(name: str, function: Callable[[bytes | memoryview], T]) -> Callable[[bytes | memoryview], T]:
    """The function with the place before each call, its argument the subject; itself where nothing is set."""
    if _set is None or _set.name != name:
        return function

    def watching(subject: bytes | memoryview) -> T:
        hit(name, bytes(subject))
        return function(subject)

    return watching


def _interrupted(name: str, items: list[T]) -> Iterator[T]:
    for place, item in enumerate(items):
        if place == len(items) // 2:
            hit(name)
        yield item


def _stop_for(seconds: float) -> None:
    """As if the machine had been suspended: no thread, no signal handler, no heartbeat."""
    wake = f"sleep {seconds}; kill -CONT {os.getpid()}"
    subprocess.Popen(["/bin/sh", "-c", wake], start_new_session=True)
    os.kill(os.getpid(), signal.SIGSTOP)
