"""The Wycheproof cases for what we use. Their files are not ours to ship: WYCHEPROOF_DIR names the folder they are in
(testvectors_v1 of github.com/C2SP/wycheproof)."""

import hmac
import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC


def cases(name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    folder = os.environ.get("WYCHEPROOF_DIR")
    if not folder:
        pytest.skip(f"NOT CHECKED: set WYCHEPROOF_DIR to a folder with {name}")
    groups = json.loads((Path(folder) / name).read_text())["testGroups"]
    return [(group, case) for group in groups for case in group["tests"]]


def test_aes_256_gcm_with_96_bit_nonces_agrees() -> None:
    checked = 0
    for group, case in cases("aes_gcm_test.json"):
        if (group["keySize"], group["ivSize"], group["tagSize"]) != (256, 96, 128):
            continue
        key, nonce, aad, plaintext = (bytes.fromhex(case[part]) for part in ("key", "iv", "aad", "msg"))
        sealed = bytes.fromhex(case["ct"] + case["tag"])
        if case["result"] == "valid":
            assert AESGCM(key).encrypt(nonce, plaintext, aad) == sealed, case["tcId"]
            assert AESGCM(key).decrypt(nonce, sealed, aad) == plaintext, case["tcId"]
        else:
            with pytest.raises(InvalidTag):
                AESGCM(key).decrypt(nonce, sealed, aad)
        checked += 1
    assert checked >= 66


def test_hmac_sha256_agrees_in_both_libraries() -> None:
    checked = 0
    for group, case in cases("hmac_sha256_test.json"):
        key, message, tag = (bytes.fromhex(case[part]) for part in ("key", "msg", "tag"))
        copied = HMAC(key, SHA256()).copy()
        copied.update(message)
        length = group["tagSize"] // 8
        for mac in (hmac.digest(key, message, "sha256"), copied.finalize()):
            assert (mac[:length] == tag) == (case["result"] == "valid"), case["tcId"]
        checked += 1
    assert checked >= 174
