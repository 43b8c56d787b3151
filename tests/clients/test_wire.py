"""Servers that answer before they have read the body: their answer is what the caller sees."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from longshore import Client, FixConfiguration, FixRequest, LongshoreError, TryLater
from longshore.wire import Transport

from tests.clients.conftest import Pauses
from tests.clients.loopback import JOB, KEY_ID, SECRET
from tests.clients.raw_server import Behaviour, RawServer, answer, make_certificate, read_body, read_head

SMALL = b'{"metadata":{},"records":[]}' + b" " * 700_000
LARGE = b'{"metadata":{},"records":[]}' + b" " * 8_000_000
REFUSAL = b'{"code":"too_large","detail":"The body is too large.","status":413}'
ACCEPTED = b'{"jobId":"%s","status":"pending"}' % JOB.encode()


def push(url: str, body: bytes) -> str:
    with Client(url, KEY_ID, SECRET, timeout=10, timing=Pauses().timing) as client:
        return client.push(body, format="json", gzip=False).job_id


def refuses_at_once(connection: socket.socket) -> None:
    """Answers and closes with the body unread: the kernel resets the connection."""
    read_head(connection)
    connection.sendall(answer(413, REFUSAL, close=True))


def refuses_midway_and_reads_no_more(connection: socket.socket) -> None:
    read_head(connection)
    read_body(connection, 300_000)
    connection.sendall(answer(413, REFUSAL))
    closed_by_client.wait(8)


def refuses_after_continue(connection: socket.socket) -> None:
    read_head(connection)
    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    read_body(connection, 300_000)
    connection.sendall(answer(413, REFUSAL))
    closed_by_client.wait(8)


def refuses_in_small_pieces(connection: socket.socket) -> None:
    read_head(connection)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in answer(413, REFUSAL):
        connection.sendall(bytes([byte]))
    closed_by_client.wait(8)


closed_by_client = threading.Event()


@pytest.fixture(autouse=True)
def _events() -> Iterator[None]:
    closed_by_client.clear()
    yield
    closed_by_client.set()


@pytest.mark.parametrize("body", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    "behaviour",
    [refuses_at_once, refuses_midway_and_reads_no_more, refuses_after_continue, refuses_in_small_pieces],
)
def test_push_shows_the_early_answer(behaviour: Behaviour, body: bytes) -> None:
    with RawServer(behaviour) as server:
        with pytest.raises(FixRequest) as caught:
            push(server.url, body)
        closed_by_client.set()
    assert (caught.value.status, caught.value.code) == (413, "too_large")


def test_the_stock_transport_loses_that_answer() -> None:
    """The defect this module exists for; when this one fails, httpx2 has learned it and wire.py can go."""
    with RawServer(refuses_midway_and_reads_no_more) as server:
        with pytest.raises(httpx2.WriteTimeout):
            httpx2.post(server.url, content=LARGE, timeout=1, trust_env=False)
        closed_by_client.set()


def test_an_early_answer_to_a_large_body_costs_no_upload() -> None:
    came: list[int] = []

    def refuses_and_counts(connection: socket.socket) -> None:
        assert b"Expect: 100-continue" in read_head(connection)
        connection.sendall(answer(413, REFUSAL))
        connection.settimeout(1)
        came.append(read_body(connection, len(LARGE)))

    with RawServer(refuses_and_counts) as server, pytest.raises(FixRequest):
        push(server.url, LARGE)
    assert came == [0]


@pytest.mark.parametrize("says_continue", [True, False])
def test_a_large_body_arrives_whole(says_continue: bool) -> None:
    began, first_byte, came = [0.0], [0.0], [0]

    def accepts(connection: socket.socket) -> None:
        read_head(connection)
        began[0] = time.monotonic()
        if says_continue:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.recv(1)
        first_byte[0] = time.monotonic()
        came[0] = 1 + read_body(connection, len(LARGE) - 1)
        connection.sendall(answer(202, ACCEPTED))

    with RawServer(accepts) as server:
        assert push(server.url, LARGE) == JOB
    assert came[0] == len(LARGE)
    waited = first_byte[0] - began[0]
    assert waited < 0.5 if says_continue else 0.8 < waited < 3


def test_a_small_body_waits_for_nothing() -> None:
    heads: list[bytes] = []

    def accepts(connection: socket.socket) -> None:
        received = connection.recv(65536)
        heads.append(received)
        size = int(received.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        read_body(connection, size - len(received.partition(b"\r\n\r\n")[2]))
        connection.sendall(answer(202, ACCEPTED))

    with RawServer(accepts) as server:
        assert push(server.url, SMALL) == JOB
    assert b"xpect" not in heads[0]


def hangs_up(connection: socket.socket) -> None:
    read_head(connection)


def test_push_is_repeated_when_the_connection_breaks() -> None:
    def accepts(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(answer(202, ACCEPTED, close=True))

    with RawServer(hangs_up, hangs_up, accepts) as server:
        assert push(server.url, SMALL) == JOB


def test_a_connection_that_always_breaks_is_told_as_that() -> None:
    with RawServer(hangs_up) as server, pytest.raises(TryLater) as caught:
        push(server.url, SMALL)
    assert caught.value.code == "connection_lost"
    assert caught.value.idempotency_key


def test_a_server_that_takes_nothing_more_times_out() -> None:
    def stalls(connection: socket.socket) -> None:
        read_head(connection)
        closed_by_client.wait(8)

    with RawServer(stalls) as server:
        with Client(server.url, KEY_ID, SECRET, timeout=1) as client, pytest.raises(TryLater) as caught:
            client.push(LARGE, format="json", gzip=False)
        closed_by_client.set()
    assert caught.value.code == "timed_out"


class TestOverTls:
    @pytest.fixture
    def certificate(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        path = make_certificate(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        return path

    @pytest.fixture
    def serve(self, certificate: Path) -> Callable[[Behaviour], RawServer]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        return lambda behaviour: RawServer(behaviour, tls=context)

    @pytest.mark.parametrize("behaviour", [refuses_midway_and_reads_no_more, refuses_after_continue])
    def test_push_shows_the_early_answer(self, serve: Callable[[Behaviour], RawServer], behaviour: Behaviour) -> None:
        with serve(behaviour) as server:
            with pytest.raises(FixRequest) as caught:
                push(server.url, LARGE)
            closed_by_client.set()
        assert caught.value.status == 413

    def test_a_large_body_arrives_whole(self, serve: Callable[[Behaviour], RawServer]) -> None:
        came = [0]

        def accepts(connection: socket.socket) -> None:
            read_head(connection)
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            came[0] = read_body(connection, len(LARGE))
            connection.sendall(answer(202, ACCEPTED))

        with serve(accepts) as server:
            assert push(server.url, LARGE) == JOB
        assert came[0] == len(LARGE)

    def test_an_unknown_authority_is_told_at_once(
        self, serve: Callable[[Behaviour], RawServer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SSL_CERT_FILE")
        with serve(refuses_at_once) as server, pytest.raises(FixConfiguration) as caught:
            push(server.url, SMALL)
        assert caught.value.code == "tls_failed"
        assert "self-signed" in str(caught.value)

    def test_tls_1_2_is_refused(self, certificate: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with RawServer(refuses_at_once, tls=context) as server, pytest.raises(LongshoreError) as caught:
            push(server.url, SMALL)
        assert caught.value.code == "tls_failed"


def test_an_http_proxy_is_used_and_still_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    def proxy(connection: socket.socket) -> None:
        heads.append(read_head(connection))
        connection.sendall(answer(413, REFUSAL))
        closed_by_client.wait(8)

    monkeypatch.delenv("NO_PROXY")
    with RawServer(proxy) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        monkeypatch.setenv("http_proxy", server.url)
        with pytest.raises(FixRequest):
            push("http://longshore.example.com", LARGE)
        closed_by_client.set()
    assert heads[0].startswith(b"POST http://longshore.example.com/api/v1/imports/bulk HTTP/1.1")


def test_the_transport_still_reaches_its_pool() -> None:
    """wire.py sets one attribute that httpx2 does not document."""
    transport = Transport(verify=ssl.create_default_context())
    assert type(transport._pool._network_backend).__name__ == "_ListeningBackend"
