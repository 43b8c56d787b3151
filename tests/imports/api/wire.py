"""A caller for the gate's tests: signed requests over http.client, and raw bytes over a socket."""

import hashlib
import http.client
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from customers import signing
from tests.live import LiveServer

JSON = "application/vnd.bigcorp.v1+json"
PROBE = "/api/v1/probe"
BODY = b'{"metadata":{},"records":[]}'


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["code"])


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs and sends; every part of the request can be given apart from what is signed."""

    server: LiveServer
    key_id: str
    secret: str

    def authorization(
        self,
        method: str = "GET",
        target: str = PROBE,
        body: bytes = b"",
        content_type: str = "",
        **others: Any,
    ) -> str:
        others.setdefault("host", f"{self.server.host}:{self.server.port}")
        others.setdefault("body_sha256", signing.encode(hashlib.sha256(body).digest()))
        return signing.sign_request(
            self.key_id, self.secret, method=method, target=target, content_type=content_type, **others
        )

    def forged(self, lines: dict[int, str] | None = None, *, secret: str = "", **shown: str) -> str:
        """A token for POST PROBE with BODY: its mac is right for altered `lines` (0 to 8), or it shows other parts."""
        parts = {
            "version": "v1",
            "key_id": self.key_id,
            "ts": str(int(time.time())),
            "nonce": signing.new_nonce(),
            "body_sha256": signing.body_digest(BODY),
        } | {name: value for name, value in shown.items() if name in ("ts", "nonce", "key_id", "body_sha256")}
        signed = [
            signing.ALGORITHM,
            *(parts[name] for name in ("key_id", "ts", "nonce")),
            "POST",
            f"{self.server.host}:{self.server.port}",
            PROBE,
            JSON,
            parts["body_sha256"],
        ]
        for number, line in (lines or {}).items():
            signed[number] = line
        parts["mac"] = signing.mac(signing.decode_secret(secret or self.secret), "\n".join(signed))
        return f"HMAC {'.'.join((parts | shown).values())}"

    def call(
        self,
        method: str = "GET",
        target: str = PROBE,
        body: bytes = b"",
        content_type: str | None = None,
        headers: dict[str, str] | None = None,
        **signed: Any,
    ) -> Answer:
        """`signed` are arguments of authorization() that differ from what is sent."""
        if content_type is None:
            content_type = JSON if body else ""
        sent = {"Content-Type": content_type} if content_type else {}
        if method in ("POST", "PUT"):
            sent["Content-Length"] = str(len(body))
        described = {"method": method, "target": target, "body": body, "content_type": content_type} | signed
        sent["Authorization"] = self.authorization(**described)
        return send(self.server, method, target, body, sent | (headers or {}))


def send(
    server: LiveServer, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> Answer:
    """One request on a connection of its own, the headers exactly as given."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


def exchange(
    server: LiveServer,
    *pieces: bytes,
    seconds: float = 5.0,
    pause_seconds: float = 0.0,
    until: Callable[[bytes], bool] = lambda _received: False,
) -> bytes:
    """What comes back for raw bytes, until the server closes, `until` says so or `seconds` pass without a byte."""
    received = b""
    with socket.create_connection((server.host, server.port), timeout=seconds) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause_seconds)
            while not until(received):
                some = connection.recv(65536)
                if not some:
                    break
                received += some
        except (TimeoutError, ConnectionError):
            pass
    return received


def is_answered(received: bytes) -> bool:
    """Whether that holds a final answer and the whole of its body. After an early answer the server listens on."""
    head, end, body = _final(received).partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    return bool(end) and length is not None and len(body) >= int(length[1])


def status_of(received: bytes) -> int:
    """The status of the first final answer; 0 where the server closed without one."""
    received = _final(received)
    return int(received.split(b" ", 2)[1]) if received.startswith(b"HTTP/") else 0


def _final(received: bytes) -> bytes:
    while received.startswith(b"HTTP/1.1 100"):
        received = received.partition(b"\r\n\r\n")[2]
    return received


def require_curl(feature: str = "") -> str:
    """The path of the real curl; the test is skipped, and says so, where it is missing or lacks `feature`."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed, so this test did not run")
    version = subprocess.run([curl, "--version"], capture_output=True, text=True, check=True).stdout
    if feature not in version:
        pytest.skip(f"this curl has no {feature}, so this test did not run")
    return curl
