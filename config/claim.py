"""A file that one process holds while it lives. The kernel lets it go when the process dies, however it dies."""

import fcntl
from pathlib import Path
from typing import IO


class Taken(Exception):
    """Another living process holds the file; the message is what it wrote there."""


def left_behind(path: Path) -> str:
    """The note of a holder that died; "" where the last one ended in order, or holds it still and `take` will tell."""
    return path.read_text() if path.exists() else ""


def let_go(file: IO[str]) -> None:
    """The holder's work is done in order: its note goes, and whoever waits may hold the file."""
    file.truncate(0)
    file.close()


def take(path: Path, note: str) -> IO[str]:
    """Hold the file until the returned handle is closed. Raises Taken."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        held = file.read()
        file.close()
        raise Taken(held) from None
    path.chmod(0o600)
    file.truncate(0)
    file.write(note)
    file.flush()
    return file
