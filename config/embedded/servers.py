"""The pair of embedded servers of one DATA_DIR: their addresses, and starting and stopping them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from config import claim, processes
from config.embedded import account as accounts
from config.embedded import postgres, valkey
from config.embedded.layout import EmbeddedError, Layout
from config.processes import ProcessSpec

_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Addresses:
    """Where the embedded servers of a DATA_DIR listen, running or not. Both hold a password."""

    database_url: str
    redis_url: str


def data_dir() -> Path:
    """DATA_DIR of the environment, else `.data` in the checkout."""
    return Path(os.environ.get("DATA_DIR", "").strip() or _CHECKOUT / ".data").resolve()


def addresses(data_dir: Path, *, create: bool = False) -> Addresses:
    """The addresses; with `create` the passwords and directories they need are made first.

    Without it nothing is written, and an address lacks its password until the servers were started once.
    """
    if create:
        prepare(data_dir)
    layout = Layout(_absolute(data_dir))
    database_user = f"{postgres.ROLE}{_password(layout, postgres.PASSWORD)}"
    valkey_user = _password(layout, valkey.PASSWORD)
    return Addresses(
        database_url=f"postgresql://{database_user}@/{postgres.DATABASE}?host={quote(str(layout.sockets))}",
        redis_url=f"unix://{valkey_user}@{quote(str(layout.valkey_socket))}?db=0",
    )


def prepare(data_dir: Path) -> None:
    """Make what `addresses` reads: for the command that starts the servers, before it reads the settings."""
    layout = Layout(_absolute(data_dir))
    layout.create()
    account = accounts.choose(layout.cluster, lambda _line: None)
    layout.create_sockets(*_owner(account))
    if not layout.cluster.exists():
        layout.create_password(postgres.PASSWORD)
    layout.create_password(valkey.PASSWORD)


def is_running(data_dir: Path, *, with_postgres: bool = True, with_valkey: bool = True) -> bool:
    """Whether the embedded servers asked for accept connections."""
    layout = Layout(_absolute(data_dir))
    return (not with_postgres or valkey.is_listening(str(layout.postgres_socket))) and (
        not with_valkey or valkey.is_listening(str(layout.valkey_socket))
    )


def require_running(data_dir: Path, *, with_postgres: bool = True, with_valkey: bool = True) -> None:
    """Raises EmbeddedError with what to do where the servers do not run."""
    if not is_running(data_dir, with_postgres=with_postgres, with_valkey=with_valkey):
        raise EmbeddedError(
            f"No embedded servers run for DATA_DIR={data_dir}: start `make up` in another terminal, or set "
            "DATABASE_URL and REDIS_URL."
        )


class EmbeddedServers:
    """Starts and stops the servers of one DATA_DIR. A supervisor calls `specs` and runs them itself."""

    def __init__(
        self,
        data_dir: Path,
        *,
        with_postgres: bool = True,
        with_valkey: bool = True,
        durable: bool = True,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.layout = Layout(_absolute(data_dir))
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self._with_postgres = with_postgres
        self._with_valkey = with_valkey
        self._durable = durable
        self._say = say or _to_stderr
        self._lock: IO[str] | None = None
        self._specs: list[ProcessSpec] = []

    def specs(self) -> list[ProcessSpec]:
        """Take the DATA_DIR for this process, make the cluster if need be, and say how to run each server.

        PostgreSQL comes first. Raises EmbeddedError with what to do.
        """
        layout = self.layout
        layout.create()
        account = accounts.choose(layout.cluster, self._say)
        self._take_lock()
        if account is not None:
            accounts.open_way(layout.data_dir, account, self._say)
        layout.create_sockets(*_owner(account))
        if account is not None:
            accounts.open_way(layout.sockets, account, self._say)
        specs = []
        if self._with_postgres:
            server = postgres.Postgres(layout, account, self._durable, self._say)
            server.prepare()
            specs.append(server.spec())
        if self._with_valkey:
            doorbell = valkey.Valkey(layout, account, self._say)
            doorbell.prepare()
            specs.append(doorbell.spec())
        return specs

    def start(self, *, output: Path | None = None, timeout_seconds: float = 120.0) -> Addresses:
        """Start both and wait until they answer; what they say goes to the file `output`."""
        try:
            self._specs = self.specs()
            descriptor = os.open(output or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                for spec in self._specs:
                    spec.prepare()
                    child = self.children[spec.name] = processes.start(spec, descriptor)
                    processes.watch(child.pid, spec)
            finally:
                os.close(descriptor)
            for spec in self._specs:
                self._wait(spec, time.monotonic() + timeout_seconds, output)
        except BaseException:
            self.stop()
            raise
        return addresses(self.layout.data_dir)

    def stop(self) -> None:
        """Stop Valkey, then PostgreSQL, and let the DATA_DIR go. Harmless when nothing runs."""
        for spec in reversed(self._specs):
            if spec.name in self.children:
                processes.stop(self.children[spec.name], spec)
                processes.forget(self.children[spec.name].pid)
        self.children.clear()
        self.release()

    def release(self) -> None:
        """Let go of the DATA_DIR. For a supervisor, once its children have ended."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        try:
            self._lock = claim.take(self.layout.run / "servers.lock", str(os.getpid()))
        except claim.Taken as taken:
            raise EmbeddedError(
                f"Process {taken} already runs the embedded servers of DATA_DIR={self.layout.data_dir}."
            ) from None

    def _wait(self, spec: ProcessSpec, deadline: float, output: Path | None) -> None:
        child = self.children[spec.name]
        while spec.is_ready is not None and not spec.is_ready(child.pid):
            if child.poll() is not None:
                raise EmbeddedError(f"{spec.name} ended with status {child.returncode}. Its log: {output}")
            if time.monotonic() > deadline:
                raise EmbeddedError(f"{spec.name} did not become ready in time. Its log: {output}")
            time.sleep(0.02)


def _absolute(path: Path) -> Path:
    # Not resolve(): a short link to a deep directory keeps the sockets' path short.
    return Path(os.path.abspath(path))  # noqa: PTH100


def _owner(account: processes.Account | None) -> tuple[int, int]:
    return (os.geteuid(), os.getegid()) if account is None else (account.uid, account.gid)


def _password(layout: Layout, name: str) -> str:
    password = layout.password(name)
    return f":{password}" if password else ""


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")
