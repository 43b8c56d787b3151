"""A whole running Longshore, started as a person starts it, for journeys through its front door."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from longshore import Client

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 90
STOP_SECONDS = 40


@dataclass(frozen=True)
class Credentials:
    customer: str
    key_id: str
    secret: str


@dataclass(frozen=True)
class House:
    """The supervisor of one data directory, what it printed, and ways in."""

    process: subprocess.Popen[bytes]
    url: str
    data_dir: Path
    log: Path
    environment: dict[str, str]

    def manage(self, *arguments: str) -> str:
        """Standard output of a management command; raises CalledProcessError where it fails."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode:
            raise AssertionError(f"manage.py {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def enrol(self, name: str) -> Credentials:
        """A new customer with a key."""
        made = json.loads(self.manage("create_customer", name, "--json"))
        return Credentials(made["customer"], made["keyId"], made["secret"])

    def client(self, credentials: Credentials) -> Client:
        return Client(self.url, credentials.key_id, credentials.secret)

    def longshore(self, credentials: Credentials, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command line client, run as a caller's script runs it."""
        environment = {
            **self.environment,
            "LONGSHORE_URL": self.url,
            "LONGSHORE_KEY_ID": credentials.key_id,
            "LONGSHORE_SECRET": credentials.secret,
        }
        return subprocess.run(
            [sys.executable, "-m", "longshore", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )


@contextmanager
def running_house(data_dir: Path, **environment: str) -> Iterator[House]:
    """`manage.py up` with embedded servers in `data_dir`, ready to answer; stopped as Ctrl-C stops it."""
    port = _free_port()
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "MASTER_KEYS", "DATABASE_POOL")
    }
    client_path = str(ROOT / "clients" / "python" / "src")
    settings = {
        **inherited,
        "DATA_DIR": str(data_dir),
        "PORT": str(port),
        "PYTHONPATH": client_path,
        "PYTHONUNBUFFERED": "1",
        **environment,
    }
    log = data_dir.parent / f"{data_dir.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "up"],
            env=settings,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield House(process, _wait_until_ready(process, log), data_dir, log, settings)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path, seconds: float = START_SECONDS) -> str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = re.search(r"ready (http://\S+)", log.read_text(errors="replace"))
        if found:
            return found.group(1)
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise AssertionError(f"`manage.py up` did not become ready:\n{log.read_text(errors='replace')[-4000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
