"""Jobs in parts over the wire: the real application in a real granian, as callers and strangers see it."""

import base64
import gzip
import hashlib
import json
import socket
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from customers.enrolment import IssuedKey
from customers.models import Customer
from imports.envelope import JSON, NDJSON
from imports.models import ImportBatch, ImportJob, ImportPart
from tests.imports.api.wire import Answer, Signer, exchange, is_answered, status_of
from tests.imports.pipeline import METADATA, records
from tests.live import LiveServer, granian_server

pytestmark = pytest.mark.django_db(transaction=True)

OPENING = json.dumps({"metadata": METADATA}).encode()
PART = json.dumps({"records": records(3)}).encode()


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[LiveServer]:
    with granian_server() as running:
        yield running


@pytest.fixture
def caller(server: LiveServer, owner: tuple[Customer, IssuedKey]) -> Signer:
    return Signer(server, owner[1].key_id, owner[1].secret)


@pytest.fixture
def strange_caller(server: LiveServer, stranger: tuple[Customer, IssuedKey]) -> Signer:
    return Signer(server, stranger[1].key_id, stranger[1].secret)


@pytest.fixture
def here(caller: Signer) -> str:
    """The path of an open job of the owner's."""
    opened = caller.call("POST", "/api/v1/imports", OPENING)
    assert opened.status == 201, opened.body
    return str(opened.json["links"]["status"])


def code_of(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.code


def test_an_opening_is_answered_with_the_way_on(caller: Signer) -> None:
    opened = caller.call("POST", "/api/v1/imports", OPENING)
    here = f"/api/v1/imports/{opened.json['jobId']}"
    assert (opened.status, opened.headers["location"]) == (201, here)
    links = opened.json["links"]
    assert (links["parts"], links["close"]) == (f"{here}/parts", f"{here}/close")
    assert opened.json == {
        "jobId": str(uuid.UUID(opened.json["jobId"])),
        "status": "pending",
        "statusReason": "open",
        "openUntil": opened.json["openUntil"],
        "progress": {"total": 0, "processed": 0, "failed": 0},
        "links": links,
    }


def test_a_part_is_answered_with_what_is_stored(caller: Signer, here: str) -> None:
    receipt = {"part": 1, "records": 3, "bytes": len(PART), "totalRecords": 3}
    first = caller.call("PUT", f"{here}/parts/1", PART)
    assert (first.status, first.json) == (201, receipt)
    again = caller.call("PUT", f"{here}/parts/1", PART)
    assert (again.status, again.json) == (200, receipt)
    other = caller.call("PUT", f"{here}/parts/1", json.dumps({"records": records(2)}).encode())
    assert code_of(other) == (409, "part_conflict")


def test_the_list_names_what_has_arrived(caller: Signer, here: str) -> None:
    packed = gzip.compress(b"\n".join(json.dumps(item).encode() for item in records(4, prefix="B")), mtime=0)
    caller.call("PUT", f"{here}/parts/2", packed, NDJSON, {"Content-Encoding": "gzip"})
    caller.call("PUT", f"{here}/parts/1", PART)
    listed = caller.call("GET", f"{here}/parts").json
    assert listed["parts"] == [
        {"part": number, "records": count, "bytes": len(body), "digest": digest_of(body)}
        for number, count, body in ((1, 3, PART), (2, 4, packed))
    ]
    assert listed["totalRecords"] == 7
    assert listed["openUntil"]


def digest_of(body: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(body).digest()).decode().rstrip("=")


def test_a_close_is_answered_like_a_bulk_import(caller: Signer, here: str) -> None:
    caller.call("PUT", f"{here}/parts/1", PART)
    early = caller.call("POST", f"{here}/close", json.dumps({"parts": 2}).encode())
    assert code_of(early) == (409, "import_incomplete")
    assert early.json["errors"][0]["pointer"] == "/parts/2"
    for _ in range(2):
        closed = caller.call("POST", f"{here}/close")
        assert (closed.status, closed.headers["location"]) == (202, here)
        assert closed.json["progress"] == {"total": 3, "processed": 0, "failed": 0}
        assert set(closed.json) == {"jobId", "status", "progress", "links"}
        assert "parts" not in closed.json["links"]
    assert code_of(caller.call("PUT", f"{here}/parts/2", PART)) == (409, "wrong_state")
    assert caller.call("GET", f"{here}/parts").json["openUntil"] is None


@pytest.mark.parametrize("body", [b'{"parts":0}', b'{"parts":"2"}', b'{"part":2}', b"[]"])
def test_a_close_that_says_something_else_is_refused(caller: Signer, here: str, body: bytes) -> None:
    assert code_of(caller.call("POST", f"{here}/close", body)) == (422, "invalid_body")


def test_status_and_list_show_an_open_job(caller: Signer, here: str) -> None:
    caller.call("PUT", f"{here}/parts/1", PART)
    status = caller.call("GET", here).json
    assert (status["status"], status["statusReason"], status["progress"]["total"]) == ("pending", "open", 3)
    listed = caller.call("GET", "/api/v1/imports?status=pending").json["imports"]
    assert [(job["jobId"], job["statusReason"]) for job in listed] == [(status["jobId"], "open")]
    assert caller.call("GET", f"{here}/results/unprocessed").status == 409


def test_a_cancelled_open_job_hands_its_records_back(caller: Signer, here: str) -> None:
    caller.call("PUT", f"{here}/parts/1", PART)
    cancelled = caller.call("POST", f"{here}/cancel").json
    assert (cancelled["status"], cancelled["statusReason"]) == ("failed", "cancelled")
    assert cancelled["outcomes"]["unprocessed"] == 3
    lines = caller.call("GET", f"{here}/results/unprocessed").body.splitlines()
    assert [json.loads(line)["data"]["id"] for line in lines] == ["A-0", "A-1", "A-2"]


def test_a_stranger_finds_nothing(caller: Signer, strange_caller: Signer, here: str) -> None:
    calls: list[tuple[Any, ...]] = [
        ("PUT", f"{here}/parts/1", PART),
        ("GET", f"{here}/parts"),
        ("POST", f"{here}/close"),
        ("POST", f"{here}/cancel"),
    ]
    for call in calls:
        assert code_of(strange_caller.call(*call)) == (404, "not_found")
    assert caller.call("GET", f"{here}/parts").json["parts"] == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("parts/0", (422, "invalid_parameter")),
        ("parts/10001", (422, "invalid_parameter")),
        ("parts/99999999999999999999", (422, "invalid_parameter")),
        ("parts/one", (404, "not_found")),
    ],
)
def test_a_part_has_a_number(caller: Signer, here: str, path: str, expected: tuple[int, str]) -> None:
    assert code_of(caller.call("PUT", f"{here}/{path}", PART)) == expected


def test_a_part_needs_its_media_type(caller: Signer, here: str) -> None:
    answer = caller.call("PUT", f"{here}/parts/1", PART, "application/json")
    assert code_of(answer) == (415, "unsupported_media_type")


def test_a_part_may_have_50_mb_and_no_more(caller: Signer, here: str) -> None:
    answer = caller.call("PUT", f"{here}/parts/1", b"{}", headers={"Content-Length": "52428801"})
    assert code_of(answer) == (413, "body_too_large")


def test_a_part_cut_in_the_middle_leaves_nothing_and_comes_again(caller: Signer, here: str) -> None:
    target = f"{here}/parts/1"
    authorization = caller.authorization("PUT", target, PART, JSON)
    head = (
        f"PUT {target} HTTP/1.1\r\nHost: {caller.server.host}:{caller.server.port}\r\nContent-Type: {JSON}\r\n"
        f"Content-Length: {len(PART)}\r\nAuthorization: {authorization}\r\n\r\n"
    )
    with socket.create_connection((caller.server.host, caller.server.port)) as connection:
        connection.sendall(head.encode() + PART[: len(PART) // 2])
    assert caller.call("GET", f"{here}/parts").json["parts"] == []
    assert caller.call("PUT", target, PART).status == 201
    assert ImportPart.objects.count() == ImportBatch.objects.count() == 1


def without_its_body(caller: Signer, method: str, target: str, body: bytes = PART) -> tuple[int, bytes]:
    """What answers the head alone, although it announces the body."""
    authorization = caller.authorization(method, target, body, JSON)
    head = (
        f"{method} {target} HTTP/1.1\r\nHost: {caller.server.host}:{caller.server.port}\r\nContent-Type: {JSON}\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\nAuthorization: {authorization}\r\n\r\n"
    )
    received = exchange(caller.server, head.encode(), until=is_answered)
    return status_of(received), received


def test_a_part_that_is_here_is_answered_before_its_body(caller: Signer, here: str) -> None:
    assert caller.call("PUT", f"{here}/parts/1", PART).status == 201
    status, received = without_its_body(caller, "PUT", f"{here}/parts/1")
    assert (status, b'"totalRecords":3' in received, b"100 Continue" in received) == (200, True, False)


def test_a_part_that_would_not_be_taken_is_refused_before_its_body(
    caller: Signer, strange_caller: Signer, here: str
) -> None:
    caller.call("PUT", f"{here}/parts/1", PART)
    target = f"{here}/parts/1"
    refused = [
        without_its_body(caller, "PUT", target, PART + b" "),
        without_its_body(strange_caller, "PUT", target),
    ]
    assert caller.call("POST", f"{here}/cancel").status == 202
    refused += [without_its_body(caller, "PUT", target), without_its_body(caller, "POST", f"{here}/close", b"{}")]
    codes = [b"part_conflict", b"not_found", b"wrong_state", b"wrong_state"]
    assert [status for status, _ in refused] == [409, 404, 409, 409]
    assert all(code in received for code, (_, received) in zip(codes, refused, strict=True))
    assert not any(b"100 Continue" in received for _, received in refused)


def test_a_part_beyond_the_bytes_of_an_import_is_refused_before_its_body(caller: Signer, here: str) -> None:
    ImportJob.objects.update(received_bytes=caller.call("GET", "/api/v1/limits").json["imports"]["maxBytes"] - 5)
    status, received = without_its_body(caller, "PUT", f"{here}/parts/1")
    assert (status, b'"code":"too_many_bytes"' in received, b"100 Continue" in received) == (422, True, False)
    # How much comes out of gzip shows only then; the import takes nothing of it all the same.
    packed = caller.call("PUT", f"{here}/parts/1", gzip.compress(PART), headers={"Content-Encoding": "gzip"})
    assert code_of(packed) == (422, "too_many_bytes")
    assert caller.call("GET", f"{here}/parts").json["parts"] == []


def test_one_idempotency_key_opens_one_job(caller: Signer) -> None:
    answers = [caller.call("POST", "/api/v1/imports", OPENING, headers={"Idempotency-Key": "k-1"}) for _ in range(2)]
    assert len({answer.json["jobId"] for answer in answers}) == 1
    other = json.dumps({"metadata": METADATA, "expectedRecords": 5}).encode()
    answer = caller.call("POST", "/api/v1/imports", other, headers={"Idempotency-Key": "k-1"})
    assert code_of(answer) == (422, "idempotency_key_reused")
