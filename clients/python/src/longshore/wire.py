"""HTTP/1.1 sockets that listen while they send.

httpcore2 writes a whole body before it reads a byte. A server that answers early (401, 413, 429) and closes
then costs the caller the answer: a broken pipe, or a send that never ends. These streams wait for 100
Continue where the request asks for it, look for an answer between any two pieces, and stop sending as soon as
there is one; httpcore2 takes WriteError as "stop sending and read the answer".
"""

import selectors
import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore2
import httpx2

CONTINUE_SECONDS = 1.0
PIECE_BYTES = 64 * 1024

_HEADS = (b"POST ", b"PUT ")
_EXPECTS = b"\r\nexpect: 100-continue\r\n"
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Transport(httpx2.HTTPTransport):
    """httpx2's own transport (pool, proxies, TLS) over listening streams."""

    def __init__(self, *, verify: ssl.SSLContext, proxy: str | None = None) -> None:
        super().__init__(verify=verify, proxy=proxy)
        # Neither httpx2 nor its proxies take a network backend as an argument; tests/clients/test_wire.py
        # goes red if this attribute ever moves.
        self._pool._network_backend = _ListeningBackend()


class _ListeningBackend(httpcore2.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        return ListeningStream(super().connect_tcp(host, port, timeout, local_address, socket_options))


class ListeningStream(httpcore2.NetworkStream):
    """A plain or TLS connection; `inner` must offer its socket as extra info."""

    def __init__(self, inner: httpcore2.NetworkStream, *, is_tls: bool = False) -> None:
        self._inner = inner
        self._socket = inner.get_extra_info("socket")
        self._is_tls = is_tls
        self._received = bytearray()
        self._waits_for_continue = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._received:
            data = bytes(self._received[:max_bytes])
            del self._received[:max_bytes]
            return data
        return self._inner.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it, or raise WriteError as soon as the server has begun its final answer or hung up."""
        if self._waits_for_continue:
            self._waits_for_continue = False
            self._wait_for_continue()
        rest = memoryview(buffer)
        while rest:
            can_read, can_write = self._wait(selectors.EVENT_READ | selectors.EVENT_WRITE, timeout)
            if can_read:
                self._listen()
            if can_write:
                rest = rest[self._send(rest[:PIECE_BYTES]) :]
        self._waits_for_continue = buffer.startswith(_HEADS) and _EXPECTS in buffer.lower()

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        upgraded = self._inner.start_tls(ssl_context, server_hostname, timeout)
        # TLS inside TLS (an https:// proxy) has no socket of its own to listen on.
        return upgraded if self._is_tls else ListeningStream(upgraded, is_tls=True)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    def _wait_for_continue(self) -> None:
        until = time.monotonic() + CONTINUE_SECONDS
        while not self._received.endswith(b"\r\n\r\n") and (left := until - time.monotonic()) > 0:
            can_read, _ = self._wait(selectors.EVENT_READ, left, patient=True)
            if can_read:
                self._listen()

    def _wait(self, events: int, timeout: float | None, *, patient: bool = False) -> tuple[bool, bool]:
        if self._is_tls and self._socket.pending():
            return True, False
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, events)
            ready = selector.select(timeout)
        if not ready and not patient:
            raise httpcore2.WriteTimeout("The server took no more of the body.")
        seen = ready[0][1] if ready else 0
        return bool(seen & selectors.EVENT_READ), bool(seen & selectors.EVENT_WRITE)

    def _listen(self) -> None:
        self._socket.settimeout(0)
        try:
            data = self._socket.recv(PIECE_BYTES)
        except _WOULD_BLOCK:
            return  # a TLS record without content, such as a session ticket
        except OSError as err:
            raise httpcore2.WriteError(str(err)) from err
        self._received += data
        if not data or _has_final_answer(self._received):
            raise httpcore2.WriteError("The server answered before the body was sent.")

    def _send(self, piece: memoryview) -> int:
        self._socket.settimeout(0)
        try:
            return int(self._socket.send(piece))
        except _WOULD_BLOCK:
            return 0
        except OSError as err:
            raise httpcore2.WriteError(str(err)) from err


def _has_final_answer(received: bytearray) -> bool:
    """Whether a status line other than 1xx has begun; interim answers before it are passed over."""
    start = 0
    while len(received) >= start + 12:
        if received[start + 9 : start + 10] != b"1":
            return True
        end = received.find(b"\r\n\r\n", start)
        if end < 0:
            return False
        start = end + 4
    return False
