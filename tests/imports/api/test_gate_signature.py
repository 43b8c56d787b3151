"""Ways to be wrong about a signature, each over a real granian; and the few things that are right."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.context import Actor, acting_as
from customers import enrolment, signing
from customers.models import Customer, HmacKey
from tests.imports.api.wire import BODY, JSON, PROBE, Answer, Signer, exchange, send, status_of

Forge = Callable[[Signer], str]
STEPS = {"form", "clock", "digest", "replay", "signature"}
DIGEST = signing.body_digest(BODY)


def seconds_from_now(offset: int) -> str:
    return str(int(time.time()) + offset)


def with_part(position: int, change: Callable[[str], str]) -> Forge:
    """A right token with one of its six dotted parts changed afterwards."""

    def forge(signer: Signer) -> str:
        parts = signer.forged().split(".")
        parts[position] = change(parts[position])
        return ".".join(parts)

    return forge


def lines(altered: dict[int, str]) -> Forge:
    return lambda signer: signer.forged(altered)


def spare_bits(digest: str) -> str:
    """The same 256 bits with another last character: base64url's second spelling."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return digest[:-1] + alphabet[alphabet.index(digest[-1]) + 1]


FORGED: dict[str, tuple[str, Forge]] = {
    "algorithm line": ("signature", lines({0: "HMAC-SHA256-V2"})),
    "key id line": ("signature", lines({1: "bk_somebody_else"})),
    "timestamp line": ("signature", lines({2: "1710460800"})),
    "nonce line": ("signature", lines({3: "AAECAwQFBgcICQoLDA0ODw"})),
    "method line": ("signature", lines({4: "GET"})),
    "method line in lower case": ("signature", lines({4: "post"})),
    "host line": ("signature", lines({5: "api.example.com"})),
    "host line without the port": ("signature", lines({5: "127.0.0.1"})),
    "target line": ("signature", lines({6: "/api/v1/count"})),
    "target line with a query": ("signature", lines({6: f"{PROBE}?a=1"})),
    "content type line": ("signature", lines({7: "text/csv"})),
    "content type line in capitals": ("signature", lines({7: JSON.upper()})),
    "content type line with a charset": ("signature", lines({7: f"{JSON}; charset=utf-8"})),
    "content type line empty": ("signature", lines({7: ""})),
    "digest line": ("signature", lines({8: signing.EMPTY_BODY_SHA256})),
    "a tenth line": ("signature", lines({8: f"{DIGEST}\n"})),
    "CRLF in place of LF": ("signature", lines({0: "HMAC-SHA256-V1\r"})),
    "mac of another secret": ("signature", lambda s: s.forged(secret=signing.new_secret())),
    "unknown key": ("signature", lambda s: s.forged(key_id="bk_nobody_at_all")),
    "mac of zeros": ("signature", lambda s: s.forged(mac="A" * 43)),
    "mac in another case": ("signature", with_part(5, lambda mac: mac[:-1].swapcase() + mac[-1])),
    "mac with padding": ("form", with_part(5, lambda mac: f"{mac}=")),
    "mac of 42 characters": ("form", with_part(5, lambda mac: mac[:-1])),
    "mac of 44 characters": ("form", with_part(5, lambda mac: f"{mac}A")),
    "mac with +": ("form", with_part(5, lambda mac: f"+{mac[1:]}")),
    "mac with /": ("form", with_part(5, lambda mac: f"/{mac[1:]}")),
    "mac spelt another way": ("form", with_part(5, spare_bits)),
    "mac in hex": ("form", with_part(5, lambda mac: hashlib.sha256(mac.encode()).hexdigest())),
    "no mac": ("form", with_part(5, lambda mac: "")),
    "digest with padding": ("form", with_part(4, lambda digest: f"{digest}=")),
    "digest of 42 characters": ("form", with_part(4, lambda digest: digest[:-1])),
    "digest of 44 characters": ("form", with_part(4, lambda digest: f"{digest}A")),
    "digest with +": ("form", with_part(4, lambda digest: f"+{digest[1:]}")),
    "digest with /": ("form", with_part(4, lambda digest: f"/{digest[1:]}")),
    "digest spelt another way": ("form", with_part(4, spare_bits)),
    "digest of another body, signed": ("digest", lambda s: s.forged(body_sha256=signing.body_digest(b"other"))),
    "digest of no body, signed": ("digest", lambda s: s.forged(body_sha256=signing.EMPTY_BODY_SHA256)),
    "timestamp of 9 digits": ("form", with_part(2, lambda ts: ts[1:])),
    "timestamp of 11 digits": ("form", with_part(2, lambda ts: f"0{ts}")),
    "timestamp with a sign": ("form", with_part(2, lambda ts: f"+{ts[1:]}")),
    "timestamp of an hour ago": ("clock", lambda s: s.forged(ts=seconds_from_now(-3600))),
    "timestamp 302 seconds old": ("clock", lambda s: s.forged(ts=seconds_from_now(-302))),
    "timestamp 302 seconds ahead": ("clock", lambda s: s.forged(ts=seconds_from_now(302))),
    "timestamp of zero": ("clock", lambda s: s.forged(ts="0000000000")),
    "nonce of 21 characters": ("form", lambda s: s.forged(nonce="A" * 21)),
    "nonce of 65 characters": ("form", lambda s: s.forged(nonce="A" * 65)),
    "nonce with +": ("form", lambda s: s.forged(nonce="+" * 22)),
    "nonce with padding": ("form", lambda s: s.forged(nonce="A" * 22 + "==")),
    "key id of 7 characters": ("form", lambda s: s.forged(key_id="bk_1234")),
    "key id of 41 characters": ("form", lambda s: s.forged(key_id="k" * 41)),
    "key id with a quote": ("form", lambda s: s.forged(key_id="bk_'or'1'='1")),
    "version 2": ("form", lambda s: s.forged().replace("v1", "v2")),
    "version in capitals": ("form", lambda s: s.forged().replace("v1", "V1")),
    "one part more": ("form", lambda s: f"{s.forged()}.more"),
    "one part less": ("form", lambda s: s.forged().rpartition(".")[0]),
    "a space in the token": ("form", with_part(3, lambda nonce: f"{nonce[:5]} {nonce[6:]}")),
    "a tab in the token": ("form", with_part(3, lambda nonce: f"{nonce[:5]}\t{nonce[6:]}")),
    "a comma in the token": ("form", with_part(3, lambda nonce: f"{nonce[:5]},{nonce[6:]}")),
    "a comma behind it": ("form", lambda s: f"{s.forged()},"),
    "two tokens with a comma": ("form", lambda s: f"{s.forged()}, {s.forged()}"),
    "two spaces": ("form", lambda s: s.forged().replace(" ", "  ")),
    "no space": ("form", lambda s: s.forged().replace(" ", "")),
    "no scheme": ("form", lambda s: s.forged().removeprefix("HMAC ")),
    "another scheme": ("form", lambda s: s.forged().replace("HMAC", "Bearer")),
    "the scheme alone": ("form", lambda s: "HMAC"),
    "an empty header": ("form", lambda s: ""),
    "parameters behind it": ("form", lambda s: f"{s.forged()};x=1"),
    "quotes around it": ("form", lambda s: s.forged().replace("HMAC ", 'HMAC "') + '"'),
    "letters beyond ASCII": ("form", with_part(3, lambda nonce: f"é{nonce[1:]}")),
    "digits beyond ASCII": ("form", with_part(2, lambda ts: f"²{ts[1:]}")),
    "a long header": ("form", lambda s: "HMAC v1." + "A" * 60_000),
}


def post(signer: Signer, authorization: str, body: bytes = BODY) -> Answer:
    return send(
        signer.server,
        "POST",
        PROBE,
        body,
        {"Authorization": authorization, "Content-Type": JSON, "Content-Length": str(len(body))},
    )


def assert_refused(answer: Answer, step: str) -> None:
    assert (answer.status, answer.json["step"]) == (401, step)
    assert step in STEPS
    assert answer.headers["www-authenticate"] == "HMAC"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["date"].endswith("GMT")
    assert len(answer.headers["x-request-id"]) == 32
    assert ("requestId" in answer.json) == (step in ("digest", "replay"))


def test_the_forger_itself_signs_rightly(signer: Signer) -> None:
    assert post(signer, signer.forged()).status == 200


def test_a_wrong_signature_is_refused(signer: Signer, subtests: pytest.Subtests) -> None:
    bodies = set()
    for case, (step, forge) in FORGED.items():
        with subtests.test(case):
            answer = post(signer, forge(signer))
            assert_refused(answer, step)
            if step == "signature":
                bodies.add(answer.body)
    assert len(FORGED) >= 40
    assert len(bodies) == 1


def test_an_unknown_key_and_a_wrong_mac_get_the_same_bytes(
    signer: Signer, stranger: tuple[Customer, enrolment.IssuedKey]
) -> None:
    _, other = stranger
    answers = [
        post(signer, signer.forged(key_id="bk_nobody_at_all")),
        post(signer, signer.forged(mac="A" * 43)),
        post(signer, signer.forged(key_id=other.key_id)),
    ]
    assert [answer.status for answer in answers] == [401, 401, 401]
    assert len({answer.body for answer in answers}) == 1
    differing = {"x-request-id", "date"}
    assert len({tuple(sorted((set(a.headers.items())) - {(n, a.headers[n]) for n in differing})) for a in answers}) == 1


@pytest.mark.parametrize("state", ["revoked", "expired", "future", "inactive"])
def test_a_key_that_is_not_live_is_refused_as_an_unknown_one(
    signer: Signer, owner: tuple[Customer, enrolment.IssuedKey], state: str
) -> None:
    customer, issued = owner
    now = timezone.now()
    keys = HmacKey.objects.filter(pk=issued.key.pk)
    if state == "revoked":
        with acting_as(Actor("command", "tests")):
            enrolment.revoke_key(issued.key)
    elif state == "expired":
        keys.update(not_before=now - timedelta(days=90), expires_at=now)
    elif state == "future":
        keys.update(not_before=now + timedelta(minutes=5))
    else:
        Customer.objects.filter(pk=customer.pk).update(is_active=False)
    refused, unknown = post(signer, signer.forged()), post(signer, signer.forged(key_id="bk_nobody_at_all"))
    assert_refused(refused, "signature")
    assert refused.body == unknown.body


def test_a_revoked_key_is_dead_within_a_second(signer: Signer, owner: tuple[Customer, enrolment.IssuedKey]) -> None:
    assert signer.call().status == 200
    with acting_as(Actor("command", "tests")):
        enrolment.revoke_key(owner[1].key)
    revoked = time.monotonic()
    while signer.call().status == 200:
        assert time.monotonic() - revoked < 1.5


def test_two_keys_are_live_during_a_rotation(signer: Signer, owner: tuple[Customer, enrolment.IssuedKey]) -> None:
    with acting_as(Actor("command", "tests")):
        successor = enrolment.rotate_key(owner[1].key)
    assert signer.call().status == 200
    assert Signer(signer.server, successor.key_id, successor.secret).call().json["user"] == successor.key_id


@pytest.mark.parametrize("offset", [-298, 298])
def test_a_clock_within_five_minutes_is_right(signer: Signer, offset: int) -> None:
    assert post(signer, signer.forged(ts=seconds_from_now(offset))).status == 200


def test_the_scheme_may_be_in_any_case(signer: Signer) -> None:
    assert post(signer, signer.forged().replace("HMAC", "hmac")).status == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_nonce_is_good_once(signer: Signer, method: str) -> None:
    nonce, body = signing.new_nonce(), BODY if method == "POST" else b""
    assert signer.call(method, body=body, nonce=nonce).status == 200
    again = signer.call(method, body=body, nonce=nonce)
    assert_refused(again, "replay")


def test_a_refused_media_type_leaves_the_nonce_unused(signer: Signer) -> None:
    nonce = signing.new_nonce()
    assert signer.call("POST", body=BODY, content_type="text/plain", nonce=nonce).status == 415
    assert signer.call("POST", body=BODY, nonce=nonce).status == 200


def test_one_byte_more_is_another_body(signer: Signer) -> None:
    assert_refused(signer.call("POST", body=BODY + b"\n", body_sha256=DIGEST), "digest")


def test_the_same_json_written_anew_is_another_body(signer: Signer) -> None:
    rewritten = json.dumps(json.loads(BODY)).encode()
    assert_refused(signer.call("POST", body=rewritten, body_sha256=DIGEST), "digest")


def test_a_body_left_out_is_another_body(signer: Signer) -> None:
    assert_refused(signer.call("POST", body=b"", content_type=JSON, body_sha256=DIGEST), "digest")


def test_a_query_in_another_order_is_another_target(signer: Signer) -> None:
    assert signer.call(target=f"{PROBE}?a=1&b=2").status == 200
    sent = signer.authorization("GET", f"{PROBE}?a=1&b=2")
    assert_refused(send(signer.server, "GET", f"{PROBE}?b=2&a=1", headers={"Authorization": sent}), "signature")


def test_head_is_not_get(signer: Signer) -> None:
    assert signer.call("HEAD").status == 200
    refused = send(signer.server, "HEAD", PROBE, headers={"Authorization": signer.authorization("GET")})
    assert (refused.status, refused.body) == (401, b"")


def test_a_host_in_capitals_is_signed_in_small_letters(signer: Signer) -> None:
    port = signer.server.port
    right = signer.authorization(host=f"LOCALHOST:{port}")
    sent = {"Host": f"LocalHost:{port}", "Authorization": right}
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    assert (
        status_of(exchange(signer.server, f"GET {PROBE} HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode())) == 200
    )


def test_a_host_signed_in_capitals_is_refused(signer: Signer) -> None:
    port = signer.server.port
    parts = signer.authorization(host=f"localhost:{port}").split(".")
    signed = "\n".join(
        (signing.ALGORITHM, *parts[1:4], "GET", f"LOCALHOST:{port}", PROBE, "", signing.EMPTY_BODY_SHA256)
    )
    mac = signing.encode(hmac.digest(signing.decode_secret(signer.secret), signed.encode(), "sha256"))
    head = f"Host: LOCALHOST:{port}\r\nAuthorization: {'.'.join([*parts[:5], mac])}\r\nConnection: close\r\n\r\n"
    assert status_of(exchange(signer.server, f"GET {PROBE} HTTP/1.1\r\n{head}".encode())) == 401


@pytest.mark.parametrize("character", ["\0", "\n", "\r", "\x7f"])
def test_a_control_character_in_the_token_is_refused(signer: Signer, character: str) -> None:
    token = signer.authorization()
    forged = f"{token[:40]}{character}{token[41:]}"
    head = f"Host: {signer.server.host}:{signer.server.port}\r\nAuthorization: {forged}\r\nConnection: close\r\n\r\n"
    assert status_of(exchange(signer.server, f"GET {PROBE} HTTP/1.1\r\n{head}".encode())) in (400, 401)


def test_two_authorization_headers_are_refused(signer: Signer) -> None:
    token = signer.authorization()
    head = f"Host: {signer.server.host}:{signer.server.port}\r\nAuthorization: {token}\r\nAuthorization: {token}\r\n"
    received = exchange(signer.server, f"GET {PROBE} HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode())
    assert status_of(received) == 401
    assert b'"step":"form"' in received


def test_no_authorization_header_is_refused(signer: Signer) -> None:
    assert_refused(send(signer.server, "GET", PROBE), "form")


def test_an_unknown_address_is_refused_before_it_is_not_found(signer: Signer) -> None:
    assert_refused(send(signer.server, "GET", "/api/v1/nothing"), "form")
    assert signer.call(target="/api/v1/nothing").code == "not_found"


def test_a_key_is_marked_as_used(signer: Signer, owner: tuple[Customer, enrolment.IssuedKey]) -> None:
    assert signer.call().status == 200
    used = HmacKey.objects.get(pk=owner[1].key.pk)
    assert used.last_used_at is not None
    assert used.last_used_ip == "127.0.0.1"


def test_a_network_that_is_not_allowed_is_told_to_the_key_alone(
    signer: Signer, owner: tuple[Customer, enrolment.IssuedKey]
) -> None:
    Customer.objects.filter(pk=owner[0].pk).update(allowed_networks=["192.0.2.0/24"])
    assert signer.call().code == "network_not_allowed"
    assert_refused(post(signer, signer.forged(mac="A" * 43)), "signature")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Client-IP", "X_Forwarded_For"])
def test_a_forged_address_opens_no_network(
    signer: Signer, owner: tuple[Customer, enrolment.IssuedKey], header: str
) -> None:
    Customer.objects.filter(pk=owner[0].pk).update(allowed_networks=["192.0.2.0/24"])
    assert signer.call(headers={header: "192.0.2.7"}).code == "network_not_allowed"


def test_a_missing_scope_is_named(signer: Signer, owner: tuple[Customer, enrolment.IssuedKey]) -> None:
    HmacKey.objects.filter(pk=owner[1].key.pk).update(scopes=["imports:read"])
    assert signer.call().status == 200
    refused = signer.call("POST", body=BODY)
    assert (refused.status, refused.code) == (403, "scope_missing")
    assert "imports:write" in refused.json["detail"]
