"""XAES-256-GCM against the published C2SP vectors and against openssl's command line."""

import hashlib
import pickle
import shutil

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given, settings
from hypothesis import strategies as st

from customers.xaes import NONCE_SIZE, PREFIX_SIZE, XaesKey
from tests.customers import gcm

NONCE = b"ABCDEFGHIJKLMNOPQRSTUVWX"
# https://c2sp.org/XAES-256-GCM: the first has MSB(L) = 0, the second MSB(L) = 1.
PUBLISHED = [
    (b"\x01", b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
    (b"\x03", b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
]
DERIVED = [
    (b"\x01", "c8612c9ed53fe43e8e005b828a1631a0bbcb6ab2f46514ec4f439fcfd0fa969b"),
    (b"\x03", "e9c621d4cdd9b11b00a6427ad7e559aeedd66b3857646677748f8ca796cb3fd8"),
]
ACCUMULATED_10_000 = "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="NOT CHECKED: there is no openssl command here")


@pytest.mark.parametrize(("byte", "aad", "ciphertext"), PUBLISHED)
def test_the_published_vectors_agree(byte: bytes, aad: bytes, ciphertext: str) -> None:
    key = XaesKey(byte * 32)
    assert key.encrypt(NONCE, b"XAES-256-GCM", aad).hex() == ciphertext
    assert key.decrypt(NONCE, bytes.fromhex(ciphertext), aad) == b"XAES-256-GCM"


@pytest.mark.parametrize(("byte", "derived"), DERIVED)
def test_the_published_derived_keys_agree(byte: bytes, derived: str) -> None:
    mine = XaesKey(byte * 32).derive(NONCE[:PREFIX_SIZE]).encrypt(NONCE[PREFIX_SIZE:], b"", None)
    assert mine == gcm.encrypt(bytes.fromhex(derived), NONCE[PREFIX_SIZE:], b"", b"")


def test_the_accumulated_vectors_agree() -> None:
    stream, read = hashlib.shake_128(b"").digest(5_000_000), 0

    def take(count: int) -> bytes:
        nonlocal read
        read += count
        return stream[read - count : read]

    hashed = hashlib.shake_128()
    for _ in range(10_000):
        key, nonce = take(32), take(24)
        plaintext = take(take(1)[0])
        aad = take(take(1)[0])
        xaes = XaesKey(key)
        ciphertext = xaes.encrypt(nonce, plaintext, aad)
        assert xaes.decrypt(nonce, ciphertext, aad) == plaintext
        hashed.update(ciphertext)
    assert stream[:16].hex() == "7f9c2ba4e88f827d616045507605853e"
    assert hashed.hexdigest(32) == ACCUMULATED_10_000


@needs_openssl
@settings(max_examples=8, deadline=None)
@given(
    key=st.binary(min_size=32, max_size=32),
    nonce=st.binary(min_size=NONCE_SIZE, max_size=NONCE_SIZE),
    plaintext=st.binary(min_size=1, max_size=100),
    aad=st.binary(max_size=60),
)
def test_openssl_agrees(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> None:
    prefix = nonce[:PREFIX_SIZE]
    derived = gcm.cmac(key, b"\x00\x01X\x00" + prefix) + gcm.cmac(key, b"\x00\x02X\x00" + prefix)
    reference = gcm.encrypt(derived, nonce[PREFIX_SIZE:], plaintext, aad)
    assert XaesKey(key).encrypt(nonce, plaintext, aad) == reference


@given(
    key=st.binary(min_size=32, max_size=32),
    nonce=st.binary(min_size=24, max_size=24),
    plaintext=st.binary(),
    aad=st.binary(),
    flip=st.integers(min_value=0),
)
def test_any_flipped_bit_is_refused(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes, flip: int) -> None:
    xaes = XaesKey(key)
    ciphertext = bytearray(xaes.encrypt(nonce, plaintext, aad))
    ciphertext[flip // 8 % len(ciphertext)] ^= 1 << flip % 8
    with pytest.raises(InvalidTag):
        xaes.decrypt(nonce, bytes(ciphertext), aad)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        XaesKey(bytes(size))


def test_a_key_shows_nowhere() -> None:
    assert repr(XaesKey(b"k" * 32)) == "XaesKey(…)"
    with pytest.raises(TypeError):
        pickle.dumps(XaesKey(b"k" * 32))
