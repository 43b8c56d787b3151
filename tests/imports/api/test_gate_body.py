"""What becomes of a body: media types, gzip, limits; and that it is in memory alone."""

import gzip
import hashlib
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.imports.api.wire import BODY, JSON, PROBE, Signer

VALIDATE = "/api/v1/imports/validate"
NDJSON = "application/vnd.bigcorp.v1+ndjson"
GZIP = {"Content-Encoding": "gzip"}


@pytest.mark.parametrize("content_type", [JSON, f"{JSON}; charset=utf-8", f'{JSON};charset="UTF-8"', JSON.upper()])
def test_the_agreed_media_type_is_taken(signer: Signer, content_type: str) -> None:
    answer = signer.call("POST", body=BODY, content_type=content_type)
    assert (answer.status, answer.json["contentType"]) == (200, JSON)


@pytest.mark.parametrize("content_type", [NDJSON, f"{NDJSON}; charset=utf-8", "text/csv", "text/csv; charset=utf-8"])
def test_records_may_come_in_three_forms(signer: Signer, content_type: str) -> None:
    answer = signer.call("POST", VALIDATE, BODY, content_type)
    assert (answer.status, answer.json["contentType"]) == (200, content_type.partition(";")[0])
    assert signer.call("POST", PROBE, BODY, content_type).status == 415


def test_another_media_type_is_refused(signer: Signer, subtests: pytest.Subtests) -> None:
    for content_type in (
        "application/json",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        f"{JSON}; charset=utf-7",
        f"{JSON}; charset=bogus",
        f"{JSON}; charset=utf-8; version=1",
        f"{JSON}; version=1",
        f"{JSON};",
        f"{JSON}, {JSON}",
        "*/*",
        "",
    ):
        with subtests.test(content_type):
            answer = signer.call("POST", VALIDATE, BODY, content_type)
            assert (answer.status, answer.code) == (415, "unsupported_media_type")
            assert NDJSON in answer.json["detail"]


def test_a_call_without_a_body_needs_no_media_type(signer: Signer) -> None:
    assert signer.call("POST", body=b"", content_type="").status == 200
    assert signer.call("DELETE").status == 200


def test_a_command_takes_a_small_body(signer: Signer) -> None:
    answer = signer.call("POST", body=b"x" * (1024 * 1024 + 1))
    assert (answer.status, answer.code) == (413, "body_too_large")
    assert signer.call("POST", body=b"x" * 1024 * 1024).json["size"] == 1024 * 1024


def test_the_view_sees_who_calls_and_django_sees_no_body(signer: Signer) -> None:
    seen = signer.call("POST", body=BODY, headers={"X-Request-ID": "request-0001"}).json
    assert seen["actor"] == f"key:{signer.key_id}"
    assert seen["contextRequestId"] == seen["requestId"] == "request-0001"
    assert seen["sha256"] == hashlib.sha256(BODY).hexdigest()
    assert seen["djangoBody"] == 0


def test_a_large_body_is_in_no_file(signer: Signer) -> None:
    body = b"a record of somebody " * 1_000_000
    seen = signer.call("POST", VALIDATE, body).json
    assert seen["size"] == len(body)
    assert {path for path in seen["openFiles"] if not path.endswith("web.log")} == set()


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", " gzip "])
def test_a_gzip_body_is_unpacked(signer: Signer, encoding: str) -> None:
    packed = gzip.compress(BODY)
    seen = signer.call("POST", body=packed, headers={"Content-Encoding": encoding}).json
    assert seen["sha256"] == hashlib.sha256(BODY).hexdigest()
    assert (seen["size"], seen["sizeOnWire"]) == (len(BODY), len(packed))


def test_a_gzip_body_may_have_several_members(signer: Signer) -> None:
    packed = gzip.compress(BODY[:5]) + gzip.compress(b"") + gzip.compress(BODY[5:])
    assert signer.call("POST", body=packed, headers=GZIP).json["sha256"] == hashlib.sha256(BODY).hexdigest()


def test_another_encoding_is_refused(signer: Signer, subtests: pytest.Subtests) -> None:
    for encoding in ("deflate", "br", "zstd", "identity", "gzip, gzip", "gzip,deflate", "x"):
        with subtests.test(encoding):
            answer = signer.call("POST", body=BODY, headers={"Content-Encoding": encoding})
            assert (answer.status, answer.code) == (415, "unsupported_encoding")


def test_what_is_not_gzip_is_refused(signer: Signer, subtests: pytest.Subtests) -> None:
    packed = gzip.compress(BODY * 100)
    cases = {
        "plain": BODY,
        "cut short": packed[:-1],
        "cut in the middle": packed[: len(packed) // 2],
        "header alone": packed[:10],
        "one byte": b"\x1f",
        "garbage behind it": packed + b"garbage",
        "zeros behind it": packed + b"\0" * 8,
        "a wrong checksum": packed[:-8] + b"\0\0\0\0" + packed[-4:],
        "a wrong length": packed[:-1] + b"\xff",
        "zlib": zlib.compress(BODY),
        "a flipped byte": packed[:20] + bytes([packed[20] ^ 255]) + packed[21:],
        "the second member cut short": packed + packed[:-3],
        "tiny members without end": gzip.compress(b"") * 10_001,
    }
    for case, body in cases.items():
        with subtests.test(case):
            answer = signer.call("POST", body=body, headers=GZIP)
            assert (answer.status, answer.code) == (400, "malformed_body")


def test_a_bomb_is_refused_at_the_limit(signer: Signer) -> None:
    packer = zlib.compressobj(1, wbits=31)
    zeros = bytes(1024 * 1024)
    bomb = b"".join([*(packer.compress(zeros) for _ in range(513)), packer.flush()])
    worker = signer.server.worker()
    before = worker.memory_info().rss
    answer = signer.call("POST", VALIDATE, bomb, headers=GZIP)
    assert (answer.status, answer.code) == (413, "body_too_large")
    assert "536,870,912 bytes when it is unpacked" in answer.json["detail"]
    assert worker.memory_info().rss - before < 50_000_000


def test_a_body_is_let_go_with_its_answer(signer: Signer) -> None:
    worker = signer.server.worker()
    signer.call("POST", VALIDATE, b"x" * 20_000_000)
    before = worker.memory_info().rss
    for _ in range(4):
        assert signer.call("POST", VALIDATE, b"x" * 20_000_000).status == 200
    assert worker.memory_info().rss - before < 25_000_000


def test_more_large_bodies_than_places_all_get_their_turn(signer: Signer) -> None:
    body = b"x" * 6_000_000
    with ThreadPoolExecutor(6) as callers:
        answers = list(callers.map(lambda _: signer.call("POST", VALIDATE, body), range(6)))
    assert [answer.status for answer in answers] == [200] * 6
