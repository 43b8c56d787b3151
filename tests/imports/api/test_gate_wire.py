"""What arrives on the wire and is no proper request: each is a 4xx or a closed connection, and the server lives on."""

import gzip
import subprocess
import time

import pytest

from customers import signing
from tests.imports.api.wire import BODY, JSON, PROBE, Signer, exchange, is_answered, require_curl, send, status_of

RAW: dict[str, tuple[int, bytes]] = {
    "chunked": (411, b"POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"),
    "chunked and a length": (
        411,
        b"PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    ),
    "an unknown transfer encoding": (400, b"POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: odd\r\n\r\nab"),
    "POST without a length": (411, b"POST {path} HTTP/1.1\r\nHost: h\r\n\r\n"),
    "PUT without a length": (411, b"PUT {path} HTTP/1.1\r\nHost: h\r\n\r\n"),
    "a length list": (400, b"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2, 2\r\n\r\nab"),
    "two lengths that differ": (
        400,
        b"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab",
    ),
    # hyper folds two equal lengths into one, as RFC 9110 8.6 allows, so what is left to refuse is the signature.
    "two equal lengths": (401, b"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab"),
    "a length with a sign": (400, b"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: +2\r\n\r\nab"),
    "a negative length": (400, b"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: -2\r\n\r\nab"),
    "a length in hex": (400, b"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 0x2\r\n\r\nab"),
    "a length beyond any number": (
        400,
        b"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ),
    "a length one over the limit": (413, b"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 52428801\r\n\r\n"),
    "a body on GET": (400, b"GET {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"),
    "two Host headers": (400, b"GET {path} HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"),
    "no Host header": (400, b"GET {path} HTTP/1.1\r\n\r\n"),
    "an empty Host header": (400, b"GET {path} HTTP/1.1\r\nHost:\r\n\r\n"),
    "HTTP/1.0 without a host": (400, b"GET {path} HTTP/1.0\r\n\r\n"),
    "two Content-Type headers": (
        400,
        b"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\nContent-Type: a/b\r\nContent-Length: 2\r\n\r\nab",
    ),
    "two Content-Encoding headers": (
        400,
        b"PUT {path} HTTP/1.1\r\nHost: h\r\nContent-Encoding: a\r\nContent-Encoding: a\r\nContent-Length: 2\r\n\r\nab",
    ),
    "an escape in the path": (400, b"GET /api/v1/%70robe HTTP/1.1\r\nHost: h\r\n\r\n"),
    "an escaped prefix": (400, b"GET /%61pi/v1/probe HTTP/1.1\r\nHost: h\r\n\r\n"),
    "a double slash": (400, b"GET /api/v1//probe HTTP/1.1\r\nHost: h\r\n\r\n"),
    "a dot segment": (400, b"GET /api/v1/x/../probe HTTP/1.1\r\nHost: h\r\n\r\n"),
    "a path beyond ASCII": (400, "GET /api/v1/ä HTTP/1.1\r\nHost: h\r\n\r\n".encode()),
    "NUL in the query": (400, b"GET /api/v1/probe?code=%00 HTTP/1.1\r\nHost: h\r\n\r\n"),
    "a query beyond ASCII": (400, "GET /api/v1/probe?ä HTTP/1.1\r\nHost: h\r\n\r\n".encode()),
    "a method in small letters": (400, b"get {path} HTTP/1.1\r\nHost: h\r\n\r\n"),
    "a header of 64 KB": (401, b"GET {path} HTTP/1.1\r\nHost: h\r\nX-A: " + b"a" * 65_536 + b"\r\n\r\n"),
    "a header of 1 MB": (431, b"GET {path} HTTP/1.1\r\nHost: h\r\nX-A: " + b"a" * 1_000_000 + b"\r\n\r\n"),
    "150 headers": (431, b"GET {path} HTTP/1.1\r\nHost: h\r\n" + b"X-A: a\r\n" * 150 + b"\r\n"),
    "a folded header": (400, b"GET {path} HTTP/1.1\r\nHost: h\r\nX-A: a\r\n b\r\n\r\n"),
    "a space before the colon": (400, b"GET {path} HTTP/1.1\r\nHost: h\r\nX-A : a\r\n\r\n"),
    "NUL in a header": (400, b"GET {path} HTTP/1.1\r\nHost: h\r\nX-A: a\0b\r\n\r\n"),
    "no HTTP at all": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "a prefix without a slash": (401, b"GET /api/v1 HTTP/1.1\r\nHost: h\r\n\r\n"),
}


def test_a_malformed_request_is_refused(signer: Signer, subtests: pytest.Subtests) -> None:
    for case, (status, request) in RAW.items():
        with subtests.test(case):
            received = exchange(signer.server, request.replace(b"{path}", PROBE.encode()), until=is_answered)
            assert status_of(received) == status
            if status in (401, 411, 413):
                assert b"x-request-id: " in received
                assert b"application/problem+json" in received
    assert signer.call().status == 200
    assert "gate_failed" not in signer.server.log


def head(signer: Signer, *, length: int, body: bytes = BODY, extra: str = "") -> bytes:
    return (
        f"POST {PROBE} HTTP/1.1\r\nHost: {signer.server.host}:{signer.server.port}\r\nContent-Type: {JSON}\r\n"
        f"Authorization: {signer.authorization('POST', body=body, content_type=JSON)}\r\n"
        f"Content-Length: {length}\r\n{extra}\r\n"
    ).encode()


def test_a_body_that_stops_is_given_up(signer: Signer) -> None:
    begun = time.monotonic()
    received = exchange(signer.server, head(signer, length=len(BODY) + 1) + BODY)
    assert status_of(received) == 408
    assert b'"code":"request_timeout"' in received
    assert b"connection: close" in received
    assert 0.9 < time.monotonic() - begun < 4


def test_a_slow_body_that_goes_on_is_taken(signer: Signer) -> None:
    pieces = [BODY[at : at + 7] for at in range(0, len(BODY), 7)]
    begun = time.monotonic()
    answer = exchange(signer.server, head(signer, length=len(BODY)), *pieces, pause_seconds=0.4, until=is_answered)
    assert status_of(answer) == 200
    assert time.monotonic() - begun > 1.2


def test_an_understated_length_is_never_half_a_body(signer: Signer) -> None:
    received = exchange(signer.server, head(signer, length=len(BODY) - 1) + BODY, until=is_answered)
    assert status_of(received) == 401
    assert b'"step":"digest"' in received
    assert signer.call().status == 200


def test_what_follows_a_body_is_a_request_of_its_own(signer: Signer) -> None:
    smuggled = f"GET {PROBE} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
    received = exchange(signer.server, head(signer, length=len(BODY)) + BODY + smuggled)
    assert status_of(received) == 200
    assert status_of(received[received.index(b"HTTP/1.1", 8) :]) == 401


def test_a_caller_who_goes_away_harms_nobody(signer: Signer) -> None:
    for length in (len(BODY) + 5, 50_000_000):
        exchange(signer.server, head(signer, length=length) + BODY, seconds=0.05)
    assert signer.call().status == 200
    assert "gate_failed" not in signer.server.log


def test_a_waiting_caller_is_told_to_continue(signer: Signer) -> None:
    received = exchange(
        signer.server, head(signer, length=len(BODY), extra="Expect: 100-continue\r\n"), BODY, until=is_answered
    )
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert status_of(received) == 200


def test_a_caller_waiting_to_continue_gets_the_refusal_instead(signer: Signer) -> None:
    request = f"POST {PROBE} HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n".encode()
    for _ in range(20):
        assert exchange(signer.server, request, seconds=0.05).startswith(b"HTTP/1.1 401")


def test_the_callers_request_id_is_kept_where_it_is_harmless(signer: Signer) -> None:
    assert signer.call(headers={"X-Request-ID": "crm-export.2024_03"}).json["requestId"] == "crm-export.2024_03"
    for bad in ("short", "a" * 65, "with space", "<script>alert(1)</script>", ""):
        assert len(signer.call(headers={"X-Request-ID": bad}).headers["x-request-id"]) == 32


def test_the_signature_holds_over_http_2(signer: Signer) -> None:
    curl = require_curl("HTTP2")
    command = [curl, "-s", "--http2-prior-knowledge", "-w", "%{http_version} %{http_code}", "-o", "/dev/null"]
    signed = f"Authorization: {signer.authorization('GET')}"
    answer = subprocess.run([*command, "-H", signed, f"{signer.server.url}{PROBE}"], capture_output=True, check=True)
    assert answer.stdout == b"2 200"


def test_no_page_is_gated(signer: Signer) -> None:
    answer = send(signer.server, "GET", "/page")
    assert (answer.status, answer.body) == (200, b"a page")
    assert len(answer.headers["x-request-id"]) == 32


@pytest.mark.parametrize(("how", "status"), [("bug", 500), ("away", 503), ("missing", 404)])
def test_a_failing_page_is_a_page(signer: Signer, how: str, status: int) -> None:
    answer = send(signer.server, "GET", f"/page/{how}")
    assert answer.status == status
    assert answer.headers["content-type"].startswith("text/html")
    assert len(answer.headers["x-request-id"]) == 32
    assert ("retry-after" in answer.headers) == (status == 503)


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [("bug", 500, "internal_error"), ("away", 503, "unavailable"), ("missing", 404, "not_found")],
)
def test_a_failing_call_is_a_problem(signer: Signer, how: str, status: int, code: str) -> None:
    answer = signer.call(target=f"/api/v1/fails/{how}")
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["requestId"] == answer.headers["x-request-id"]
    assert ("retry-after" in answer.headers) == (status == 503)
    assert "a payload's secret" not in signer.server.log


def test_an_unknown_method_is_answered_with_those_allowed(signer: Signer) -> None:
    answer = signer.call("PUT", body=BODY)
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["allow"].startswith("GET, POST, DELETE")


def test_a_foreign_host_is_a_problem(signer: Signer) -> None:
    head = (
        f"Host: evil.example\r\nAuthorization: {signer.authorization(host='evil.example')}\r\nConnection: close\r\n\r\n"
    )
    received = exchange(signer.server, f"GET {PROBE} HTTP/1.1\r\n{head}".encode())
    assert status_of(received) == 400
    assert b'"code":"malformed_request"' in received


def test_a_view_without_a_scope_is_closed(signer: Signer) -> None:
    assert signer.call(target="/api/v1/forgetful").status == 500


def test_the_gzip_of_nothing_is_nothing(signer: Signer) -> None:
    packed = gzip.compress(b"")
    answer = signer.call("POST", body=packed, headers={"Content-Encoding": "gzip"})
    assert (answer.json["size"], answer.json["sizeOnWire"]) == (0, len(packed))
    assert answer.json["sha256"] != signing.EMPTY_BODY_SHA256
