"""What a connection may carry besides plain requests: old versions, odd targets, pipelines, slow heads, upgrades."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.imports.api.wire import PROBE, Signer, exchange, status_of
from tests.live import LiveServer

NOT_ADMITTED = b"\x88\x02\x11\x31"  # a close frame with 4401


@pytest.fixture(scope="module", autouse=True)
def gate_lives_on(probe_server: LiveServer) -> Iterator[None]:
    yield
    assert "gate_failed" not in probe_server.log


def address(signer: Signer) -> str:
    return f"{signer.server.host}:{signer.server.port}"


def signed_get(signer: Signer, target: str = PROBE, *, version: str = "1.1", more: str = "") -> bytes:
    """A GET of `target` whose signature, with a nonce of its own, is for PROBE."""
    authorization = f"Authorization: {signer.authorization()}"
    return f"GET {target} HTTP/{version}\r\nHost: {address(signer)}\r\n{authorization}\r\n{more}\r\n".encode()


def answer_to(server: LiveServer, request: bytes) -> tuple[int, bytes]:
    """Status and body of the first answer; raises TimeoutError where none comes."""
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, response.read()


def test_an_older_client_is_served_and_an_odd_version_is_not(signer: Signer) -> None:
    assert answer_to(signer.server, signed_get(signer, version="1.0"))[0] == 200
    unsigned = f"GET {PROBE} HTTP/1.0\r\nHost: {address(signer)}\r\n\r\n".encode()
    assert answer_to(signer.server, unsigned)[0] == 401
    for version in ("0.8", "1.9", "2.0", "1", "x"):
        assert answer_to(signer.server, signed_get(signer, version=version))[0] == 400
    assert answer_to(signer.server, f"GET {PROBE}\r\n\r\n".encode())[0] == 400


def test_a_host_in_the_target_counts_for_nothing(signer: Signer) -> None:
    """The Host header and the path are what is signed, whoever the target names."""
    for host in (address(signer), "evil.example"):
        target = f"http://{host}{PROBE}"
        assert answer_to(signer.server, signed_get(signer, target))[0] == 200
        for signed in (signer.authorization(host="evil.example"), signer.authorization(target=target)):
            head = f"Host: {address(signer)}\r\nAuthorization: {signed}"
            assert answer_to(signer.server, f"GET {target} HTTP/1.1\r\n{head}\r\n\r\n".encode())[0] == 401


@pytest.mark.parametrize("target", ["//evil.example/api/v1/probe", "evil.example:443", "*", "http://evil.example/"])
def test_a_target_that_is_no_path_leads_nowhere(signer: Signer, target: str) -> None:
    status, body = answer_to(signer.server, signed_get(signer, target))
    assert status == 404
    assert b"evil.example" not in body


def test_a_request_line_without_end_is_refused(signer: Signer) -> None:
    for request, status in (
        (b"GET /api/v1/" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
        (b"GET /api/v1/" + b"a" * 500_000, 431),
    ):
        assert status_of(exchange(signer.server, request)) == status
    assert signer.call().status == 200


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: {inside}\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
    ],
)
def test_a_signed_request_inside_a_refused_body_is_never_run(signer: Signer, head: str) -> None:
    inside = signed_get(signer)
    for before in (b"", b"0\r\n\r\n"):
        lengths = head.format(inside=len(before + inside))
        refused = f"POST {PROBE} HTTP/1.1\r\nHost: {address(signer)}\r\n{lengths}\r\n".encode()
        received = exchange(signer.server, refused + before + inside)
        assert status_of(received) in (400, 401, 411)
        assert received.count(b"HTTP/1.1 ") == 1
    assert answer_to(signer.server, inside)[0] == 200  # its nonce was not used


def test_what_follows_a_refusal_without_a_body_is_a_request_of_its_own(signer: Signer) -> None:
    refused = f"POST {PROBE} HTTP/1.1\r\nHost: {address(signer)}\r\n\r\n".encode()
    received = exchange(signer.server, refused + signed_get(signer, more="Connection: close\r\n"))
    assert status_of(received) == 411
    assert status_of(received[received.index(b"HTTP/1.1 ", 8) :]) == 200


def test_callers_who_never_end_their_heads_keep_nobody_out(signer: Signer) -> None:
    with ExitStack() as opened:
        for number in range(100):
            connection = socket.create_connection((signer.server.host, signer.server.port), timeout=10)
            opened.enter_context(connection).sendall(signed_get(signer)[: 1 + number])
        assert signer.call().status == 200


def test_a_head_that_comes_slowly_is_read(signer: Signer) -> None:
    request = signed_get(signer, more="Connection: close\r\n")
    pieces = [request[at : at + 40] for at in range(0, len(request), 40)]
    assert status_of(exchange(signer.server, *pieces, pause_seconds=0.02)) == 200


def upgrade(signer: Signer, path: str, *, method: str = "GET", more: str = "") -> bytes:
    head = f"Host: {address(signer)}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    return f"{method} {path} HTTP/1.1\r\n{head}{more or key}\r\n".encode()


@pytest.mark.parametrize("path", ["/", "/page", "/ws", "/ws/", "/ws/other", "/ws/imports/", "/admin/", PROBE])
def test_an_upgrade_elsewhere_is_refused(signer: Signer, path: str) -> None:
    for method in ("GET", "POST"):
        assert answer_to(signer.server, upgrade(signer, path, method=method)) == (403, b"")


def test_an_upgrade_without_its_headers_is_refused(signer: Signer) -> None:
    for more in ("Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Version: 12\r\nSec-WebSocket-Key: x\r\n"):
        assert answer_to(signer.server, upgrade(signer, "/ws/imports/x", more=more))[0] == 400


@pytest.mark.parametrize("path", ["/ws/imports/x", "/ws/imports/%00", "/ws/imports/%ff?ticket=%ff%00"])
def test_a_socket_without_a_ticket_is_closed_at_once(signer: Signer, path: str) -> None:
    received = exchange(signer.server, upgrade(signer, path))
    assert status_of(received) == 101
    assert received.endswith(NOT_ADMITTED)


@pytest.mark.parametrize("path", ["/ws", "/ws/other", "/ws/imports/x", "/ws/imports/%00", "/ws/imports/%ff?ticket=%ff"])
def test_a_socket_address_is_no_page(signer: Signer, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: {address(signer)}\r\nConnection: close\r\n\r\n".encode()
    assert answer_to(signer.server, request)[0] == 404
