"""AES-256-GCM a second time, from SP 800-38D and openssl's command line: AES by `openssl enc`, GHASH by hand."""

import subprocess

_R = 0xE1 << 120


def encrypt(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """Ciphertext and tag, for a nonce of 12 bytes."""
    hash_key = int.from_bytes(_ctr(key, bytes(16), bytes(16)), "big")
    pre_counter = nonce + b"\x00\x00\x00\x01"
    ciphertext = _ctr(key, nonce + b"\x00\x00\x00\x02", plaintext)
    lengths = (8 * len(aad)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
    digest = _ghash(hash_key, _padded(aad) + _padded(ciphertext) + lengths)
    return ciphertext + _xor(_ctr(key, pre_counter, bytes(16)), digest)


def cmac(key: bytes, message: bytes) -> bytes:
    command = ["openssl", "mac", "-cipher", "AES-256-CBC", "-macopt", f"hexkey:{key.hex()}", "-binary", "CMAC"]
    return subprocess.run(command, input=message, capture_output=True, check=True).stdout


def _ctr(key: bytes, counter: bytes, data: bytes) -> bytes:
    command = ["openssl", "enc", "-aes-256-ctr", "-K", key.hex(), "-iv", counter.hex()]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def _ghash(hash_key: int, data: bytes) -> bytes:
    state = 0
    for start in range(0, len(data), 16):
        state = _multiply(state ^ int.from_bytes(data[start : start + 16], "big"), hash_key)
    return state.to_bytes(16, "big")


def _multiply(x: int, y: int) -> int:
    product = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            product ^= y
        y = y >> 1 ^ (_R if y & 1 else 0)
    return product


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 16)


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
