"""The embedded Valkey: the doorbell. It keeps nothing on disk, since losing it loses no record."""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from config.embedded import account as accounts
from config.embedded import binaries
from config.embedded.layout import Layout
from config.patience import Patience
from config.processes import Account, ProcessSpec

PASSWORD = "valkey_password"  # noqa: S105 - a file's name
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Valkey:
    """The Valkey of one DATA_DIR."""

    layout: Layout
    account: Account | None
    say: Callable[[str], None]

    def prepare(self) -> None:
        """Make the password, and see that the binary runs."""
        self.layout.create_password(PASSWORD)
        binary = binaries.valkey_server()
        if self.account is not None:
            accounts.open_way(binary.parent.resolve(), self.account, self.say)
        accounts.require_runnable(binary, self.account)

    def spec(self) -> ProcessSpec:
        """The configuration goes in through standard input: a password on the command line would show in
        ps.
        """
        return ProcessSpec(
            name="valkey",
            command=[str(binaries.valkey_server()), "-"],
            environment=_ENVIRONMENT,
            account=self.account,
            stdin=self._configuration().encode(),
            prepare=self._clear_leftovers,
            is_ready=lambda _pid: self._answers(),
            waits_for=lambda _pid: "Valkey does not answer yet",
        )

    def _configuration(self) -> str:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        settings = {
            "port": "0",
            "unixsocket": _quoted(str(self.layout.valkey_socket)),
            "unixsocketperm": "700",
            "requirepass": self.layout.password(PASSWORD),
            "dir": _quoted(str(self.layout.sockets)),
            "save": '""',
            "appendonly": "no",
            "daemonize": "no",
            "maxmemory": f"{min(max(memory // 16, 64), 1024)}mb",
            "maxmemory-policy": "noeviction",
            # A crash report would hold commands and memory.
            "crash-log-enabled": "no",
            "crash-memcheck-enabled": "no",
            "loglevel": "warning",
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())

    def _answers(self) -> bool:
        """Whether the socket answers PING to our password."""
        password = self.layout.password(PASSWORD)
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(2.0)
                connection.connect(str(self.layout.valkey_socket))
                connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (received := connection.recv(256)):
                    answer += received
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"

    def _clear_leftovers(self) -> None:
        """Wait for the last server to let go of the socket, then remove it."""
        patience = Patience(self.say)
        while is_listening(str(self.layout.valkey_socket)):
            patience.tell(f"waiting for another Valkey to leave {self.layout.valkey_socket}: if it stays, stop it")
            time.sleep(0.05)
        self.layout.valkey_socket.unlink(missing_ok=True)


def is_listening(path: str) -> bool:
    """Whether a process accepts connections on the socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2.0)
        try:
            connection.connect(path)
        except OSError:
            return False
        return True


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
