"""What a kill -9 leaves behind: processes that still end, pid files that lie."""

import os
import stat
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

from config.embedded.layout import EmbeddedError

_PROC = Path("/proc")
_SHUT_DOWN = 1


def processes_in(cluster: Path) -> list[int]:
    """The living PostgreSQL processes of this data directory, whoever started them."""
    if (_PROC / "self/cwd").exists():
        return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit() and _works_in(entry, cluster)]
    # Without /proc (macOS) only the postmaster shows the directory in its command line.
    listing = subprocess.run(["ps", "-axo", "pid=,command="], capture_output=True, text=True, check=True).stdout
    lines = (line.strip().partition(" ") for line in listing.splitlines())
    return [int(pid) for pid, _, command in lines if "/postgres -D " in command and f" {cluster} " in f"{command} "]


def pid_file_lines(path: Path) -> list[str]:
    """The lines of a postmaster.pid; none where it is missing or being written."""
    try:
        return path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def was_shut_down(cluster: Path) -> bool:
    """Whether the cluster was closed in order, so that its next start recovers nothing; by PostgreSQL's control file.

    That begins with four numbers of 8, 4, 4 and 4 bytes, the last of which is the state, 1 after a shutdown.
    """
    with (cluster / "global" / "pg_control").open("rb") as file:
        return bool(struct.unpack("=QIII", file.read(20))[3] == _SHUT_DOWN)


def void_pid_file(path: Path, say: Callable[[str], None]) -> None:
    """Make a pid file harmless whose number went to a stranger. For when no process of the directory lives.

    PostgreSQL only asks whether the number is alive, and then refuses to start. Its own parent's number it
    takes for stale, and this process becomes that parent.
    """
    lines = pid_file_lines(path)
    if not lines or not _is_alive(lines[0]):
        return
    say(f"{path} names process {lines[0]}, which is no PostgreSQL of this directory: the file is stale")
    rewrite(path, "\n".join([str(os.getpid()), *lines[1:]]) + "\n")


def rewrite(path: Path, text: str) -> None:
    """Replace the text of a file in the servers' directory, keeping its owner.

    Root does this in a directory that an unprivileged user owns, so it follows no link that user may have laid.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "w") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_uid != path.parent.stat().st_uid:
            raise EmbeddedError(f"{path} is not a plain file of the servers' user. Move it away.")
        file.write(text)
        file.truncate()


def _works_in(process: Path, cluster: Path) -> bool:
    try:
        return (
            (process / "exe").readlink().name.startswith("postgres")
            and (process / "cwd").readlink() == cluster.resolve()
            and (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except OSError:
        return False


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True
