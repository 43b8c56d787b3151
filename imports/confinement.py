"""What a work-horse may use, and how it ends: over a limit as if killed, on SIGTERM after the batch at hand."""

import resource
import signal
from types import FrameType
from typing import Final

from imports import attempts

_MEGABYTE: Final = 1024 * 1024

_batch_seconds = 0
_is_asked_to_stop = False


def confine(*, memory_mb: int, batch_seconds: int) -> None:
    """For a freshly forked work-horse. Beyond the memory it gets MemoryError, beyond the time the kernel ends it.

    RLIMIT_DATA counts private memory that can be written, where RLIMIT_AS would count every library that is mapped.
    """
    global _batch_seconds
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = memory_mb * _MEGABYTE
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, _on_sigterm)
    _batch_seconds = batch_seconds


def begin_batch() -> None:
    """Gives the coming batch its time. The alarm has no handler, since Python code may never get to run one."""
    if _batch_seconds:
        signal.alarm(_batch_seconds)


def is_asked_to_stop() -> bool:
    return _is_asked_to_stop


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    global _is_asked_to_stop
    _is_asked_to_stop = True
    attempts.note_stopping()
