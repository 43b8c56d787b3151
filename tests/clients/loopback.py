"""Real servers on loopback that stand for Longshore's side of the wire.

FakeServer checks every signature by itself (hashlib and hmac, not the client's own module), answers what a test
scripted, and speaks WebSocket on the same port.
"""

import base64
import hashlib
import hmac
import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from websockets.sync.server import ServerConnection, serve

KEY_ID = "lk_test_key_0001"
SECRET_BYTES = bytes(range(32))
SECRET = "lsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
JOB = "3f2b8c1e-0000-4000-8000-000000000001"

_TOKEN = re.compile(
    r"HMAC v1\.([A-Za-z0-9_-]{8,40})\.(\d{10})\.([A-Za-z0-9_-]{22,64})\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{43})"
)


@dataclass(frozen=True)
class Seen:
    """A request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    is_signed: bool

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def nonce(self) -> str:
        return self.headers["authorization"].split(".")[3]


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None


def problem(status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any) -> Reply:
    body = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": detail, **more}
    kind = {"Content-Type": "application/problem+json", "X-Request-ID": "req_1"}
    return Reply(status, body, {**kind, **(headers or {})})


Answer = Reply | Callable[[Seen], Reply]
Script = Callable[[ServerConnection, str], None]


class FakeServer(ThreadingHTTPServer):
    """`on(method, path, *answers)`: given one after the other, the last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[Seen] = []
        self.socket_targets: list[str] = []
        self.socket_scripts: list[Script] = []
        self._answers: dict[tuple[str, str], list[Answer]] = {}
        self._lock = threading.Lock()
        self._sockets = serve(self._follow_script, "127.0.0.1", 0, close_timeout=1)  # only handed connections
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def on(self, method: str, path: str, *answers: Answer) -> None:
        self._answers[method, path] = list(answers)

    def answer(self, seen: Seen) -> Reply:
        with self._lock:
            self.seen.append(seen)
            waiting = self._answers.get((seen.method, seen.path))
            if not waiting:
                return problem(404, "not_found", "There is nothing here.")
            answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return answer if isinstance(answer, Reply) else answer(seen)

    def count(self, method: str, path: str) -> int:
        return sum(1 for seen in self.seen if (seen.method, seen.path) == (method, path))

    def finish_request(self, request: Any, client_address: Any) -> None:
        if request.recv(8, socket.MSG_PEEK) == b"GET /ws/":
            self._sockets.handler(request, client_address)
        else:
            super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of many tests."""

    def _follow_script(self, connection: ServerConnection) -> None:
        target = connection.request.path if connection.request else ""
        with self._lock:
            self.socket_targets.append(target)
            script = self.socket_scripts.pop(0) if self.socket_scripts else None
        if script:
            script(connection, target)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()
        self._sockets.socket.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeServer

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = Seen(self.command, self.path, headers, body, is_signed(self.command, self.path, headers, body))
        reply = self.server.answer(seen)
        content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: reply.cut_after])
        self.close_connection = self.close_connection or reply.cut_after is not None

    do_GET = do_POST = do_PUT = _serve  # noqa: N815  the names that http.server calls

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def is_signed(method: str, target: str, headers: dict[str, str], body: bytes) -> bool:
    """The nine lines, put together from what came over the wire."""
    match = _TOKEN.fullmatch(headers.get("authorization", ""))
    if not match:
        return False
    key_id, timestamp, nonce, digest, mac = match.groups()
    lines = ["HMAC-SHA256-V1", key_id, timestamp, nonce, method, headers["host"].lower(), target]
    text = "\n".join([*lines, headers.get("content-type", ""), digest])
    expected = hmac.new(SECRET_BYTES, text.encode(), "sha256").digest()
    return (_plain(expected), _plain(hashlib.sha256(body).digest())) == (mac, digest)


def _plain(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
