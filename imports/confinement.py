"""What a work-horse may use, and how it ends: over a limit as if killed, on SIGTERM after the batch at hand."""

import os
import resource
import signal
from types import FrameType
from typing import Final

from imports import attempts

OVER_MEMORY_STATUS: Final = 77
"""With this status a work-horse ends that ran into its limit of memory, so that its parent knows."""

_MEGABYTE: Final = 1024 * 1024

_is_confined = False
_batch_seconds = 0
_is_asked_to_stop = False


def confine(*, memory_mb: int, batch_seconds: int) -> None:
    """For a freshly forked work-horse. Beyond the memory it gets MemoryError, beyond the time the kernel ends it.

    RLIMIT_DATA counts private memory that can be written, where RLIMIT_AS would count every library that is mapped.
    """
    global _batch_seconds, _is_confined
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = memory_mb * _MEGABYTE
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, _on_sigterm)
    _batch_seconds, _is_confined = batch_seconds, True


def begin_batch() -> None:
    """Gives the coming batch its time. The alarm has no handler, since Python code may never get to run one."""
    if _batch_seconds:
        signal.alarm(_batch_seconds)


def end_over_memory() -> None:
    """Ends a work-horse after a MemoryError, without another allocation. Returns in any other process."""
    if _is_confined:
        os._exit(OVER_MEMORY_STATUS)


def how_ended(wait_status: int) -> str:
    """What a parent notes of a work-horse that did not come to its own end."""
    if os.WIFSIGNALED(wait_status) and os.WTERMSIG(wait_status) == signal.SIGALRM:
        return attempts.OVER_TIME
    if os.WIFEXITED(wait_status) and os.WEXITSTATUS(wait_status) == OVER_MEMORY_STATUS:
        return attempts.OVER_MEMORY
    return attempts.CRASHED


def is_asked_to_stop() -> bool:
    return _is_asked_to_stop


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    global _is_asked_to_stop
    _is_asked_to_stop = True
    attempts.note_stopping()
