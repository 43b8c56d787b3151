"""The gate without a server around it: what no well-behaved server passes on, and what happens when we fail."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError

from customers import signing
from customers.enrolment import IssuedKey
from customers.models import Customer
from imports.api import admission, unpacking
from imports.api.call import SCOPE_KEY, SignedCall
from imports.api.gate import Gate
from tests.imports.api.wire import BODY, JSON

Message = dict[str, Any]
Header = tuple[bytes, bytes]
WHOLE = [{"type": "http.request", "body": BODY, "more_body": False}]


class Django:
    """Keeps the call it was given, and what the call held while it ran."""

    def __init__(self) -> None:
        self.call: SignedCall | None = None
        self.body = b""
        self.headers: list[Header] = []

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        self.call, self.headers = scope[SCOPE_KEY], scope["headers"]
        self.body = scope[SCOPE_KEY].body
        assert await receive() == {"type": "http.request", "body": b"", "more_body": False}
        await send({"type": "http.response.start", "status": 204, "headers": [(b"X-Request-Id", b"made-up")]})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def headers(owner: tuple[Customer, IssuedKey]) -> list[Header]:
    """Those of a signed POST of BODY."""
    _, issued = owner
    authorization = signing.sign_request(
        issued.key_id,
        issued.secret,
        method="POST",
        host="api.example.com",
        target="/api/v1/imports/bulk",
        content_type=JSON,
        body_sha256=signing.body_digest(BODY),
    )
    return [
        (b"host", b"api.example.com"),
        (b"content-type", JSON.encode()),
        (b"content-length", str(len(BODY)).encode()),
        (b"authorization", authorization.encode()),
    ]


def ask(
    headers: list[Header],
    messages: list[Message] = WHOLE,
    *,
    django: Any = None,
    clock: Callable[[], float] = time.time,
    setting: Callable[[Gate], None] = lambda gate: None,
) -> list[Message]:
    """What the gate sends for one call."""
    sent: list[Message] = []
    waiting = iter(messages)

    async def receive() -> Message:
        message = next(waiting, None)
        if message is None:
            await asyncio.sleep(60)
        return message or {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def scene() -> None:
        gate = Gate(django or Django(), idle_seconds=0.2, body_memory_mb=128, clock=clock)
        setting(gate)
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": "/api/v1/imports/bulk",
            "raw_path": b"/api/v1/imports/bulk",
            "query_string": b"",
            "headers": headers,
            "client": ("192.0.2.1", "1234"),
        }
        await gate(scope, receive, send)

    asyncio.run(scene())
    return sent


def code_of(sent: list[Message]) -> tuple[int, str]:
    return sent[0]["status"], json.loads(sent[1]["body"])["code"]


def test_django_gets_the_call_and_an_empty_request(headers: list[Header]) -> None:
    django = Django()
    sent = ask(headers, django=django)
    assert sent[0]["status"] == 204
    assert django.body == BODY
    assert [value for name, value in django.headers if name == b"content-length"] == [b"0"]
    assert django.call is not None
    assert [value for name, value in sent[0]["headers"] if name.lower() == b"x-request-id"] == [
        django.call.request_id.encode()
    ]


def test_the_body_is_let_go_once_answered(headers: list[Header]) -> None:
    django = Django()
    ask(headers, django=django)
    assert django.call is not None
    assert django.call.body == b""


def test_a_fault_in_the_gate_is_a_500_with_its_request_id(
    headers: list[Header], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("nothing")

    monkeypatch.setattr(admission, "admit", broken)
    sent = ask(headers)
    assert code_of(sent) == (500, "internal_error")
    assert json.loads(sent[1]["body"])["requestId"] == dict(sent[0]["headers"])[b"x-request-id"].decode()
    assert "gate_failed" in caplog.text


def test_a_lost_database_is_a_503(headers: list[Header], monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(admission, "admit", lost)
    sent = ask(headers)
    assert code_of(sent) == (503, "unavailable")
    assert dict(sent[0]["headers"])[b"retry-after"] == b"5"


def test_a_process_full_of_large_bodies_is_a_503(
    headers: list[Header], monkeypatch: pytest.MonkeyPatch, owner: tuple[Customer, IssuedKey]
) -> None:
    monkeypatch.setattr(unpacking, "LARGE_BODY_BYTES", 10)

    def fill(gate: Gate) -> None:
        gate._slots = unpacking.Slots(0, wait_seconds=0.05)

    assert code_of(ask(headers, setting=fill)) == (503, "unavailable")


def test_more_bytes_than_announced_are_refused(headers: list[Header]) -> None:
    messages = [{"type": "http.request", "body": BODY + b"x", "more_body": True}]
    assert code_of(ask(headers, messages)) == (400, "malformed_request")


def test_fewer_bytes_than_announced_are_refused(headers: list[Header]) -> None:
    assert code_of(ask(headers, [{"type": "http.request", "body": BODY[1:]}])) == (400, "malformed_request")


def test_a_body_in_pieces_is_put_together(headers: list[Header]) -> None:
    django = Django()
    pieces: list[Message] = [{"type": "http.request", "body": bytes([byte]), "more_body": True} for byte in BODY]
    assert ask(headers, [*pieces, {"type": "http.request"}], django=django)[0]["status"] == 204
    assert django.body == BODY


def test_nobody_is_answered_when_the_caller_is_gone(headers: list[Header]) -> None:
    assert ask(headers, [{"type": "http.disconnect"}]) == []


def test_a_silent_body_is_a_408(headers: list[Header]) -> None:
    assert code_of(ask(headers, [])) == (408, "request_timeout")


@pytest.mark.parametrize("name", [b"content-length", b"Content-Type", b"host", b"HOST"])
def test_two_headers_that_must_be_one_are_refused(headers: list[Header], name: bytes) -> None:
    value = dict(headers)[name.lower()]
    assert code_of(ask([*headers, (name, value)])) == (400, "malformed_request")


@pytest.mark.parametrize("length", [b"+29", b"29 ", b"0x1d", b"29,29", b"-1", "²9".encode(), b"1e1"])
def test_a_length_is_digits(headers: list[Header], length: bytes) -> None:
    others = [header for header in headers if header[0] != b"content-length"]
    assert code_of(ask([*others, (b"content-length", length)])) == (400, "malformed_request")


@pytest.mark.parametrize(("offset", "status"), [(299, 204), (300, 204), (301, 401), (-300, 204), (-301, 401)])
def test_the_clock_may_be_off_by_300_seconds(headers: list[Header], offset: int, status: int) -> None:
    signed_at = int(dict(headers)[b"authorization"].split(b".")[2])
    assert ask(headers, clock=lambda: signed_at + offset)[0]["status"] == status
