"""Where the web process listens: loopback unless HOST says otherwise, in the clear unless a certificate is given."""

import errno
import http.client
import os
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from config import env
from config.patience import Patience
from config.processes import CannotStart

LEFT_PORT_SECONDS = 120.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked for by HOST, and never the default


class PortTaken(CannotStart):
    """Somebody listens there already."""


@dataclass(frozen=True)
class Address:
    """Where the web process listens, and how this machine reaches it."""

    host: str
    port: int
    certificate: Path | None
    key: Path | None

    @property
    def url(self) -> str:
        host = _EVERYWHERE.get(self.host, self.host)
        return f"{'https' if self.certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def require_free(self) -> None:
        """Raises CannotStart where the address cannot be bound, PortTaken where somebody listens there.

        granian's processes share the port by SO_REUSEPORT, so a second one would get half the calls unnoticed.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
                probe.listen(1)
            except OSError as err:
                if err.errno == errno.EADDRINUSE:
                    raise PortTaken(
                        f"Port {self.port} of {self.host} is taken by another program. Set PORT to a free one, for "
                        f"example PORT={self.port + 1 if self.port < 65535 else 8000}."
                    ) from err
                raise CannotStart(
                    f"Longshore cannot listen on {self.host} port {self.port}: {os.strerror(err.errno or 0)}. "
                    "Set HOST and PORT."
                ) from err

    def wait_until_free(self, say: Callable[[str], None]) -> None:
        """The same after LEFT_PORT_SECONDS at most, for the web of a killed Longshore, which still ends."""
        patience, deadline = Patience(say, first=0), time.monotonic() + LEFT_PORT_SECONDS
        while True:
            try:
                return self.require_free()
            except PortTaken:
                if time.monotonic() > deadline:
                    raise
            patience.tell(f"waiting for port {self.port} of {self.host}, which another process still holds")
            time.sleep(0.1)

    def answer(self, path: str, *, host_header: str, timeout: float = 2.0) -> int:
        """The status that GET `path` is answered with, 0 while nobody listens."""
        host = _EVERYWHERE.get(self.host, self.host)
        connection = http.client.HTTPConnection(host, self.port, timeout=timeout)
        if self.certificate:
            # The certificate names the public host, and this call stays on the machine.
            context = ssl._create_unverified_context()  # noqa: S323
            connection = http.client.HTTPSConnection(host, self.port, timeout=timeout, context=context)
        try:
            connection.request("GET", path, headers={"Host": host_header})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()


def address() -> Address:
    """HOST, PORT, TLS_CERTIFICATE and TLS_KEY of the environment; raises ImproperlyConfigured."""
    certificate, key = (
        Path(name) if (name := env.text(variable)) else None for variable in ("TLS_CERTIFICATE", "TLS_KEY")
    )
    if (certificate is None) != (key is None):
        raise ImproperlyConfigured("Set both TLS_CERTIFICATE and TLS_KEY, or neither.")
    for variable, path in (("TLS_CERTIFICATE", certificate), ("TLS_KEY", key)):
        if path is not None and not os.access(path, os.R_OK):
            raise ImproperlyConfigured(f"{variable} names {path}, which cannot be read.")
    port = env.integer("PORT", 8000, minimum=1)
    if port > 65535:
        raise ImproperlyConfigured(f"PORT must be at most 65535, and it is {port}.")
    return Address(env.text("HOST", "127.0.0.1"), port, certificate, key)
