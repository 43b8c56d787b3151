"""What a test can see of a process from outside. No sleeps but the step of a wait with a deadline."""

import stat
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg


def wait_until(condition: Callable[[], object], *, seconds: float = 60.0) -> None:
    """Fails the test when the condition does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that ended and was not reaped yet does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def command_line_of(pid: int) -> str:
    """The words of the command line; "" for a process that has ended."""
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:
        return ""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def tcp_listeners(pid: int) -> list[str]:
    """host:port of every TCP socket that the process or a child of it listens on."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return [
        f"{connection.laddr.ip}:{connection.laddr.port}"
        for process in family
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]


def query(url: str, *statements: str) -> list[tuple[object, ...]]:
    """The rows of the last statement."""
    with psycopg.connect(url) as connection:
        for statement in statements[:-1]:
            connection.execute(statement.encode())
        return list(connection.execute(statements[-1].encode()).fetchall())
