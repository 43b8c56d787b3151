"""The signature against vectors: the shared ones, and ours that were computed with openssl alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from longshore import FixConfiguration
from longshore.signing import Key, body_digest, new_nonce, sign

_HERE = Path(__file__)
_SHARED = _HERE.parents[3] / "shared" / "vectors" / "signing.json"
_OWN = _HERE.parent / "vectors" / "signing.json"


def _cases(path: Path) -> list[Any]:
    if not path.exists():
        reason = f"no {path.name} in {path.parent}: the vectors that all implementations share were NOT checked"
        return [pytest.param({}, {}, marks=pytest.mark.skip(reason=reason))]
    vectors = json.loads(path.read_text())
    return [pytest.param(vectors, case, id=case["name"]) for case in vectors["cases"]]


@pytest.mark.parametrize(("vectors", "case"), _cases(_SHARED) + _cases(_OWN))
def test_sign_agrees_with_the_vector(vectors: dict[str, Any], case: dict[str, Any]) -> None:
    signature = sign(
        Key.parse(vectors["key_id"], vectors["secret"]),
        method=case["method"],
        host=case["host"],
        target=case["target"],
        content_type=case["content_type"],
        body_sha256=body_digest(case["body"].encode()),
        timestamp=vectors["timestamp"],
        nonce=vectors["nonce"],
    )
    assert signature.string_to_sign == case["string_to_sign"]
    assert signature.authorization == case["authorization"]


def test_host_is_signed_in_lower_case() -> None:
    vectors = json.loads(_OWN.read_text())
    key = Key.parse(vectors["key_id"], vectors["secret"])
    given: dict[str, Any] = {
        "method": "GET",
        "target": "/",
        "content_type": "",
        "body_sha256": "",
        "timestamp": 1,
        "nonce": "n",
    }
    assert sign(key, host="Example.COM", **given) == sign(key, host="example.com", **given)


def test_each_nonce_is_new() -> None:
    nonces = {new_nonce() for _ in range(1_000)}
    assert len(nonces) == 1_000
    assert {len(nonce) for nonce in nonces} == {22}


def test_the_secret_is_in_no_repr() -> None:
    key = Key.parse("lk_test_key_0001", "lsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")
    assert repr(key) == "Key(key_id='lk_test_key_0001')"


@pytest.mark.parametrize("secret", ["", "hunter2", "lsk_short", "lsk_" + "A" * 44, "lsk_" + "+" * 43])
def test_a_secret_of_another_form_is_refused_and_not_quoted(secret: str) -> None:
    with pytest.raises(FixConfiguration) as caught:
        Key.parse("lk_test_key_0001", secret)
    shown = f"{caught.value} {caught.value.hint}"
    assert caught.value.code == "secret_malformed"
    assert not secret or secret not in shown


@pytest.mark.parametrize("key_id", ["", "short", "a" * 41, "with space 1", "with.dot.in.it"])
def test_a_key_id_of_another_form_is_refused(key_id: str) -> None:
    with pytest.raises(FixConfiguration):
        Key.parse(key_id, "lsk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")
