"""An early answer to a large body is seen by callers that send without reading, and costs the server nothing."""

import http.client
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from customers.models import Customer
from tests.imports.api.wire import JSON, Signer, require_curl

BULK = "/api/v1/imports/bulk"
SIZE = 52_428_800
LARGE = b"x" * SIZE


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    path = tmp_path / "large.json"
    path.write_bytes(LARGE)
    return path


def unsigned_head(signer: Signer, *, length: int = SIZE, extra: str = "") -> bytes:
    return (
        f"POST {BULK} HTTP/1.1\r\nHost: h\r\nContent-Type: {JSON}\r\nContent-Length: {length}\r\n{extra}\r\n".encode()
    )


def test_http_client_sees_the_refusal(signer: Signer) -> None:
    for _ in range(5):
        connection = http.client.HTTPConnection(signer.server.host, signer.server.port, timeout=20)
        connection.request("POST", BULK, LARGE, {"Content-Type": JSON})
        answer = connection.getresponse()
        assert answer.status == 401
        assert b'"step":"form"' in answer.read()
        connection.close()


def test_httpx_sees_the_refusal(signer: Signer) -> None:
    for _ in range(5):
        assert (
            httpx2.post(f"{signer.server.url}{BULK}", content=LARGE, headers={"Content-Type": JSON}).status_code == 401
        )


@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"])
def test_curl_sees_the_refusal(signer: Signer, large_file: Path, expect: str) -> None:
    command = [require_curl(), "-sS", "--data-binary", f"@{large_file}", "-H", f"Content-Type: {JSON}", "-H", expect]
    for _ in range(5):
        run = subprocess.run([*command, f"{signer.server.url}{BULK}"], capture_output=True, text=True, check=False)
        assert (run.returncode, run.stderr) == (0, "")
        assert '"step":"form"' in run.stdout


def test_http_client_sees_that_the_network_is_not_allowed(signer: Signer) -> None:
    """With a valid mac the body may be under way for five seconds."""
    Customer.objects.update(allowed_networks=["192.0.2.0/24"])
    answer = signer.call("POST", BULK, LARGE, JSON)
    assert (answer.status, answer.code) == (403, "network_not_allowed")


def test_the_refusal_does_not_wait_for_the_body(signer: Signer) -> None:
    with socket.create_connection((signer.server.host, signer.server.port), timeout=5) as connection:
        connection.sendall(unsigned_head(signer))
        begun = time.perf_counter()
        answer = connection.recv(65536)
        assert time.perf_counter() - begun < 0.25
        assert answer.startswith(b"HTTP/1.1 401")
        assert b"connection: close" in answer


def test_an_unsigned_body_is_swallowed_for_a_second_at_most(signer: Signer) -> None:
    """On many connections, since a reference cycle in the gate kept some of them open until a garbage collection."""
    with ExitStack() as opened:
        address = (signer.server.host, signer.server.port)
        connections = [opened.enter_context(socket.create_connection(address, timeout=5)) for _ in range(20)]
        for connection in connections:
            connection.sendall(unsigned_head(signer))
            assert connection.recv(65536).startswith(b"HTTP/1.1 401")
        begun = time.perf_counter()
        assert {connection.recv(1) for connection in connections} == {b""}
        assert time.perf_counter() - begun < 3


def test_a_caller_who_waits_for_100_continue_sends_nothing(signer: Signer) -> None:
    with socket.create_connection((signer.server.host, signer.server.port), timeout=5) as connection:
        connection.sendall(unsigned_head(signer, extra="Expect: 100-continue\r\n"))
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 401")
        assert b"100 Continue" not in answer + connection.recv(1)


def test_a_body_over_the_limit_is_refused_before_it_comes(signer: Signer) -> None:
    connection = http.client.HTTPConnection(signer.server.host, signer.server.port, timeout=20)
    connection.request("POST", BULK, LARGE + b"x", {"Content-Type": JSON})
    answer = connection.getresponse()
    assert answer.status == 413
    assert b"52,428,800 bytes" in answer.read()


def test_no_byte_of_an_unsigned_body_is_kept(signer: Signer) -> None:
    worker = signer.server.worker()
    before = worker.memory_info().rss
    peak = 0
    for _ in range(4):
        with socket.create_connection((signer.server.host, signer.server.port), timeout=5) as connection:
            connection.sendall(unsigned_head(signer))
            try:
                for at in range(0, SIZE, 4_194_304):
                    connection.sendall(LARGE[at : at + 4_194_304])
                    peak = max(peak, worker.memory_info().rss)
            except ConnectionError:
                continue
    assert peak - before < 20_000_000


def test_the_next_request_after_a_swallowed_body_is_not_part_of_it(signer: Signer) -> None:
    with httpx2.Client(base_url=signer.server.url) as client:
        for size in (10, 100_000, 5_000_000):
            refused = client.post(
                BULK, content=b"GET /page HTTP/1.1\r\n\r\n" * (size // 22 + 1), headers={"Content-Type": JSON}
            )
            assert refused.status_code == 401
            assert client.get("/page").text == "a page"


def test_a_signed_large_body_reaches_its_view(signer: Signer) -> None:
    answer = signer.call("POST", BULK, LARGE)
    assert (answer.status, answer.json) == (200, {"size": SIZE})
