"""A real granian in a process of its own, on the test database: for the wire, for clients and for whole journeys.

Tests that use it need `transactional_db`, since the server sees committed rows alone.
"""

import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
import pytest
from django.db import connection

from config import processes

START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class LiveServer:
    """`url` has no path. `output` is the file that the server's log lines go to."""

    url: str
    host: str
    port: int
    pid: int
    output: Path

    @property
    def log(self) -> str:
        return self.output.read_text()

    def worker(self) -> psutil.Process:
        """granian's one worker: the process that runs the application."""
        (worker,) = self.workers()
        return worker

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children()


@contextmanager
def granian_server(
    application: str = "config.asgi:application",
    *,
    processes_count: int = 1,
    environment: Mapping[str, str] | None = None,
) -> Iterator[LiveServer]:
    """Serves `application` on a free loopback port until the block ends. `environment` is added to this process's."""
    port = _free_port()
    command = [sys.executable, "-m", "granian", "--interface", "asginl", "--host", "127.0.0.1", "--port", str(port)]
    spec = processes.ProcessSpec(
        name="web",
        command=[*command, "--workers", str(processes_count), "--no-log", application],
        environment={**os.environ, "DATABASE_URL": test_database_url(), "DATABASE_POOL": "1", **(environment or {})},
        orphan_signal=signal.SIGTERM,
    )
    with tempfile.TemporaryDirectory(prefix="longshore-live-") as folder:
        output = Path(folder) / "web.log"
        with output.open("wb") as file:
            child = processes.start(spec, file.fileno())
        try:
            server = LiveServer(f"http://127.0.0.1:{port}", "127.0.0.1", port, child.pid, output)
            _wait_for(server, child.poll)
            yield server
        finally:
            processes.stop(child, spec)


@pytest.fixture(scope="session")
def live_server(django_db_setup: None) -> Iterator[LiveServer]:
    """Longshore's own application, one server for the whole run."""
    with granian_server() as server:
        yield server


@pytest.fixture(scope="session")
def live_server_url(live_server: LiveServer) -> str:
    return live_server.url


def test_database_url() -> str:
    """DATABASE_URL with the name of the test database, which a child process must be told."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(parts._replace(path=f"/{connection.settings_dict['NAME']}"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(server: LiveServer, poll: Callable[[], int | None]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((server.host, server.port)) == 0:
                return
        if poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"granian did not start:\n{server.log}")
        time.sleep(0.05)
