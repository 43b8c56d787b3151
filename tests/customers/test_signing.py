import base64
import json
import shutil
import string
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customers import signing
from customers.signing import MalformedToken, Token, parse_authorization, sign_request, string_to_sign

SHARED_VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "signing.json"
DIGEST = "3L0o_AuJNakBgUquXKwB9ZyiMYYJvA_mgKwxl-TZoxY"
MAC = "Z8l5TLFgTZz_rgTAsWM0PQR_-Rok6sawuiNLkAX9zPw"
NONCE = "AAECAwQFBgcICQoLDA0ODw"
GOOD = f"HMAC v1.bk_test_0001.1710460800.{NONCE}.{DIGEST}.{MAC}"

# Computed with `openssl dgst -sha256 -mac HMAC`; the secret is the SHA-256 of "longshore".
OWN_SECRET = "lsk_-ytg47ynuAM8YN1qlaDM_uhTcv1zeFPB0iKBcPr3RtM"
OWN_BODY = b'{"a":1}'
OWN_VECTORS = [
    (
        "put",
        "API.longshore.test:8443",
        "/api/v1/imports/7/parts/2?x=%2F",
        "text/csv",
        "UeaHBuz0PG9H6BUdoPVLdCj5L9iuYU_KWwnMLwfvefQ",
    ),
    ("GET", "[::1]:8000", "/api/v1/imports?after=", "", "uDer9v8BOeCBuKh93YLa8T99rgY95UfJm5L1Of3gKz4"),
]


def shared() -> Any:
    if not SHARED_VECTORS.exists():
        pytest.skip("NOT CHECKED: the vectors of shared/vectors/signing.json are not beside this checkout")
    return json.loads(SHARED_VECTORS.read_text())


@pytest.mark.parametrize(("method", "host", "target", "content_type", "mac"), OWN_VECTORS)
def test_openssl_signs_the_same(method: str, host: str, target: str, content_type: str, mac: str) -> None:
    header = sign_request(
        "bk_own-vector_1",
        OWN_SECRET,
        method=method,
        host=host,
        target=target,
        content_type=content_type,
        body_sha256=signing.body_digest(OWN_BODY),
        timestamp=1893456000,
        nonce="____________________-A",
    )
    digest = "AVq9f1zFei3ZS3WQ8ErYCEJzkF7jPsXOvq5iJ2qX-GI"
    assert header == f"HMAC v1.bk_own-vector_1.1893456000.____________________-A.{digest}.{mac}"


def test_the_shared_vectors_agree() -> None:
    vectors = shared()
    for case in vectors["cases"]:
        parts = [case[name] for name in ("method", "host", "target", "content_type")]
        token = parse_authorization(case["authorization"])
        assert string_to_sign(token, *parts) == case["string_to_sign"], case["name"]
        assert token.body_sha256 == signing.body_digest(case["body"].encode()), case["name"]
        assert token.mac == signing.mac(signing.decode_secret(vectors["secret"]), case["string_to_sign"])
        signed = sign_request(
            vectors["key_id"],
            vectors["secret"],
            method=case["method"],
            host=case["host"],
            target=case["target"],
            content_type=case["content_type"],
            body_sha256=token.body_sha256,
            timestamp=vectors["timestamp"],
            nonce=vectors["nonce"],
        )
        assert signed == case["authorization"], case["name"]


@pytest.mark.skipif(not shutil.which("openssl"), reason="NOT CHECKED: there is no openssl command here")
def test_a_fresh_signature_agrees_with_openssl() -> None:
    secret = signing.new_secret()
    token = parse_authorization(sign_request(signing.new_key_id(), secret, method="GET", host="h", target="/"))
    key = signing.decode_secret(secret).hex()
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key}", "-binary"]
    text = string_to_sign(token, "GET", "h", "/").encode()
    digest = subprocess.run(command, input=text, capture_output=True, check=True).stdout
    assert token.mac == base64.urlsafe_b64encode(digest).decode().rstrip("=")


def test_a_token_is_read() -> None:
    expected = Token("bk_test_0001", 1710460800, NONCE, DIGEST, MAC)
    assert parse_authorization(GOOD) == expected
    assert parse_authorization(GOOD.encode()) == expected
    assert MAC not in repr(expected)


@pytest.mark.parametrize("scheme", ["hmac", "Hmac", "hMAC", "HMAC"])
def test_the_scheme_may_be_of_any_case(scheme: str) -> None:
    assert parse_authorization(scheme + GOOD[4:]).key_id == "bk_test_0001"


def forged() -> list[tuple[str, str]]:
    """Everything near the right form that is not it."""
    return [
        ("empty", ""),
        ("scheme only", "HMAC"),
        ("no token", "HMAC "),
        ("two spaces", GOOD.replace(" ", "  ")),
        ("tab for the space", GOOD.replace(" ", "\t")),
        ("space before", " " + GOOD),
        ("space after", GOOD + " "),
        ("line feed after", GOOD + "\n"),
        ("CR LF after", GOOD + "\r\n"),
        ("NUL after", GOOD + "\x00"),
        ("NUL inside", GOOD.replace("_0001", "\x000001")),
        ("line feed inside", GOOD.replace("_0001", "\n0001")),
        ("space inside", GOOD.replace("_0001", " 0001")),
        ("two joined by a comma", f"{GOOD}, {GOOD}"),
        ("comma after", GOOD + ","),
        ("quoted", f'HMAC "{GOOD[5:]}"'),
        ("other scheme", "Bearer " + GOOD[5:]),
        ("AWS scheme", "HMAC-SHA256 " + GOOD[5:]),
        ("long s in the scheme", GOOD.replace("HMAC", "\u017fHMAC")),
        ("version 2", GOOD.replace("v1.", "v2.")),
        ("version in capitals", GOOD.replace("v1.", "V1.")),
        ("no version", GOOD.replace("v1.", "")),
        ("key id of 7", GOOD.replace("bk_test_0001", "bk_0001")),
        ("key id of 41", GOOD.replace("bk_test_0001", "b" * 41)),
        ("key id with a slash", GOOD.replace("bk_test_0001", "bk/test/0001")),
        ("key id with an umlaut", GOOD.replace("bk_test_0001", "bk_t\u00e4st_001")),
        ("time of 9 digits", GOOD.replace("1710460800", "171046080")),
        ("time of 11 digits", GOOD.replace("1710460800", "17104608000")),
        ("negative time", GOOD.replace("1710460800", "-171046080")),
        ("time with a point", GOOD.replace("1710460800", "171046080.0")),
        ("hexadecimal time", GOOD.replace("1710460800", "0x65f38e00")),
        ("Arabic digits", GOOD.replace("1710460800", "\u0661\u0667\u0661\u0660\u0664\u0666\u0660\u0668\u0660\u0660")),
        ("full-width digits", GOOD.replace("1710460800", "\uff11710460800")),
        ("nonce of 21", GOOD.replace(NONCE, NONCE[:-1])),
        ("nonce of 65", GOOD.replace(NONCE, "A" * 65)),
        ("no nonce", GOOD.replace(NONCE + ".", "")),
        ("nonce with padding", GOOD.replace(NONCE, NONCE + "==")),
        ("digest of 42", GOOD.replace(DIGEST, DIGEST[:-1])),
        ("digest of 44", GOOD.replace(DIGEST, DIGEST + "A")),
        ("digest with padding", GOOD.replace(DIGEST, DIGEST + "=")),
        ("digest in base64", GOOD.replace(DIGEST, DIGEST.replace("_", "/").replace("-", "+"))),
        ("digest in hexadecimal", GOOD.replace(DIGEST, "dc" * 32)),
        ("digest not canonical", GOOD.replace(DIGEST, DIGEST[:-1] + "Z")),
        ("mac of 42", GOOD[:-1]),
        ("mac of 44", GOOD + "A"),
        ("mac with padding", GOOD + "="),
        ("mac with plus", GOOD.replace("-Rok", "+Rok")),
        ("mac not canonical", GOOD[:-1] + "x"),
        ("a seventh part", GOOD + ".A"),
        ("a part missing", GOOD.rpartition(".")[0]),
    ]


@pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value in forged()])
def test_another_form_is_refused_without_quoting_it(value: str) -> None:
    for sent in (value, value.encode("utf-8")):
        with pytest.raises(MalformedToken) as caught:
            parse_authorization(sent)
        assert DIGEST not in str(caught.value)


@given(st.sampled_from(string.ascii_letters + string.digits + "-_"))
def test_only_the_canonical_last_character_of_a_digest_passes(last: str) -> None:
    spelt = DIGEST[:-1] + last
    canonical = base64.urlsafe_b64encode(base64.urlsafe_b64decode(spelt + "=")).decode().rstrip("=") == spelt
    try:
        assert parse_authorization(GOOD.replace(DIGEST, spelt)).body_sha256 == spelt
        assert canonical
    except MalformedToken:
        assert not canonical


@given(st.text(max_size=300))
def test_nonsense_is_refused_and_never_crashes(value: str) -> None:
    with pytest.raises(MalformedToken):
        parse_authorization(value)


@given(st.binary(max_size=300))
def test_binary_nonsense_is_refused_and_never_crashes(value: bytes) -> None:
    with pytest.raises(MalformedToken):
        parse_authorization(value)


def test_each_line_of_the_string_counts() -> None:
    token, parts = parse_authorization(GOOD), ["POST", "api.example.com", "/api/v1/imports/bulk", "text/csv"]
    strings = {string_to_sign(token, *parts)}
    for position in range(4):
        changed = [part + "x" * (index == position) for index, part in enumerate(parts)]
        strings.add(string_to_sign(token, *changed))
    for field in ("key_id", "timestamp", "nonce", "body_sha256"):
        values = {name: getattr(token, name) for name in ("key_id", "timestamp", "nonce", "body_sha256", "mac")}
        values[field] = values[field] + 1 if field == "timestamp" else values[field][::-1]
        strings.add(string_to_sign(Token(**values), *parts))
    assert len(strings) == 9


def test_the_host_is_signed_in_lower_case() -> None:
    token = parse_authorization(GOOD)
    assert string_to_sign(token, "GET", "API.Example.com", "/") == string_to_sign(token, "GET", "api.example.com", "/")


@pytest.mark.parametrize("evil", ["a\nb", "a\rb", "a\x00b", "\u00e4", "a\u2028b", "\x7f"])
@pytest.mark.parametrize("position", range(4))
def test_a_part_that_could_fake_a_line_is_refused(position: int, evil: str) -> None:
    parts = ["GET", "host", "/", "text/csv"]
    parts[position] = evil
    with pytest.raises(MalformedToken):
        string_to_sign(parse_authorization(GOOD), *parts)


@pytest.mark.parametrize(("skew", "timely"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)])
def test_the_clock_may_be_300_seconds_off(skew: int, timely: bool) -> None:
    assert signing.is_timely(parse_authorization(GOOD), 1710460800 + skew) is timely


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "lsk_",
        "lsk_short",
        OWN_SECRET[4:],
        OWN_SECRET + "=",
        OWN_SECRET + "\n",
        OWN_SECRET[:-1],
        "LSK_" + OWN_SECRET[4:],
    ],
)
def test_a_secret_of_another_form_is_refused_without_quoting_it(secret: str) -> None:
    with pytest.raises(ValueError, match="43 characters") as caught:
        signing.decode_secret(secret)
    assert OWN_SECRET[4:20] not in str(caught.value)


def test_fresh_values_have_the_signed_form() -> None:
    for _ in range(200):
        header = sign_request(signing.new_key_id(), signing.new_secret(), method="GET", host="h", target="/")
        assert parse_authorization(header).body_sha256 == signing.EMPTY_BODY_SHA256
    assert signing.body_digest(b"") == signing.EMPTY_BODY_SHA256
    assert len(signing.decode_secret(signing.new_secret())) == 32


def test_a_signature_outlives_its_nonce_only_where_web_hosts_are_over_a_minute_apart() -> None:
    token = signing.Token("bk_test_0001", 1_710_460_800, signing.new_nonce(), signing.EMPTY_BODY_SHA256, "")
    moments = range(token.timestamp - 1000, token.timestamp + 1000)
    for skew, outlives in ((0, False), (60, False), (61, True)):
        first_by_the_fast = min(now for now in moments if signing.is_timely(token, now + skew))
        last_by_the_slow = max(now for now in moments if signing.is_timely(token, now))
        assert (last_by_the_slow - first_by_the_fast > signing.NONCE_SECONDS) == outlives
