"""POST /auth/verify answers what is wrong with a signature, and tells nothing that could help to make one."""

import time

import pytest
from django.conf import settings
from redis import Redis

from customers import signing
from customers.models import Customer, HmacKey
from tests.imports.api.wire import BODY, JSON, PROBE, Signer, send

VERIFY = "/api/v1/auth/verify"


@pytest.fixture(autouse=True)
def no_calls_counted_before() -> None:
    valkey = Redis.from_url(settings.REDIS_URL)
    for key in valkey.scan_iter("LIMITS*"):
        valkey.delete(key)


def test_a_right_signature_is_valid(signer: Signer) -> None:
    seen = signer.call("POST", VERIFY, BODY).json
    assert list(seen) == ["valid", "step", "serverTime", "skewSeconds", "stringToSign"]
    assert (seen["valid"], seen["step"]) == (True, None)
    assert abs(seen["serverTime"] - time.time()) < 3
    assert abs(seen["skewSeconds"]) < 3
    lines = seen["stringToSign"].split("\n")
    assert lines[:2] == [signing.ALGORITHM, signer.key_id]
    assert lines[4:] == [
        "POST",
        f"{signer.server.host}:{signer.server.port}",
        VERIFY,
        JSON,
        signing.body_digest(BODY),
    ]


def test_the_failed_step_is_named(signer: Signer) -> None:
    now = int(time.time())
    old = signer.call("POST", VERIFY, BODY, timestamp=now - 400).json
    assert (old["valid"], old["step"]) == (False, "clock")
    assert abs(old["skewSeconds"] - 400) < 3
    authorization = signer.authorization("POST", VERIFY, BODY, "text/csv")
    headers = {"Authorization": authorization, "Content-Type": JSON, "Content-Length": str(len(BODY))}
    wrong = send(signer.server, "POST", VERIFY, BODY, headers).json
    assert (wrong["valid"], wrong["step"]) == (False, "signature")
    assert f"\n{JSON}\n" in wrong["stringToSign"]
    other = signer.call("POST", VERIFY, BODY, body_sha256=signing.EMPTY_BODY_SHA256).json
    assert (other["valid"], other["step"]) == (False, "digest")
    assert other["stringToSign"].endswith(signing.body_digest(BODY))


@pytest.mark.parametrize("authorization", [None, "", "Bearer abc", "HMAC v1.short"])
def test_a_malformed_signature_has_no_string_to_sign(signer: Signer, authorization: str | None) -> None:
    headers = {"Content-Length": "0"} | ({} if authorization is None else {"Authorization": authorization})
    seen = send(signer.server, "POST", VERIFY, headers=headers).json
    assert (seen["valid"], seen["step"]) == (False, "form")
    assert (seen["skewSeconds"], seen["stringToSign"]) == (None, None)


def test_it_never_tells_whether_a_key_exists(signer: Signer) -> None:
    unknown = Signer(signer.server, "bk_nobody_at_all", signer.secret).call("POST", VERIFY, BODY, nonce="A" * 22)
    HmacKey.objects.update(revoked_at="2024-01-01T00:00:00Z")
    time.sleep(1.1)
    revoked = signer.call("POST", VERIFY, BODY, nonce="A" * 22)
    seen = [answer.json | {"serverTime": 0, "skewSeconds": 0} for answer in (unknown, revoked)]
    seen[1]["stringToSign"] = seen[1]["stringToSign"].replace(signer.key_id, "bk_nobody_at_all")
    seen[0]["stringToSign"], seen[1]["stringToSign"] = (s["stringToSign"].split("\n")[3:] for s in seen)
    assert seen[0] == seen[1]


def test_it_never_tells_the_expected_mac(signer: Signer) -> None:
    authorization = signer.authorization("POST", VERIFY, BODY, JSON)
    mac = authorization.rpartition(".")[2]
    forged = authorization.replace(mac, "A" * 43)
    headers = {"Authorization": forged, "Content-Type": JSON, "Content-Length": str(len(BODY))}
    answer = send(signer.server, "POST", VERIFY, BODY, headers)
    assert answer.json["step"] == "signature"
    assert mac.encode() not in answer.body


def test_it_uses_up_no_nonce(signer: Signer) -> None:
    nonce = signing.new_nonce()
    assert [signer.call("POST", VERIFY, BODY, nonce=nonce).json["valid"] for _ in range(2)] == [True, True]
    assert signer.call(nonce=nonce).status == 200
    assert signer.call("POST", VERIFY, BODY, nonce=nonce).json["valid"] is True


def test_its_signature_opens_nothing_else(signer: Signer) -> None:
    authorization = signer.authorization("POST", VERIFY, BODY, JSON)
    headers = {"Authorization": authorization, "Content-Type": JSON, "Content-Length": str(len(BODY))}
    assert send(signer.server, "POST", PROBE, BODY, headers).json["step"] == "signature"


def test_any_media_type_may_be_tried_and_a_large_body_may_not(signer: Signer) -> None:
    assert signer.call("POST", VERIFY, BODY, "text/plain; charset=utf-7").json["valid"] is True
    assert signer.call("POST", VERIFY, b"x" * 65_537).code == "body_too_large"


def test_a_network_that_is_not_allowed_is_told_to_the_key_alone(signer: Signer) -> None:
    Customer.objects.update(allowed_networks=["192.0.2.0/24"])
    assert signer.call("POST", VERIFY, BODY).code == "network_not_allowed"
    assert (
        Signer(signer.server, signer.key_id, signing.new_secret()).call("POST", VERIFY, BODY).json["step"]
        == "signature"
    )


def test_other_methods_are_signed_as_everywhere(signer: Signer) -> None:
    assert send(signer.server, "GET", VERIFY).status == 401
    assert signer.call("GET", VERIFY).code == "method_not_allowed"


def test_the_61st_call_in_a_minute_waits(signer: Signer) -> None:
    headers = {"Content-Length": "0"}
    statuses = [send(signer.server, "POST", VERIFY, headers=headers).status for _ in range(60)]
    assert statuses == [200] * 60
    refused = send(signer.server, "POST", VERIFY, headers=headers)
    assert (refused.status, refused.code) == (429, "rate_limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 61
