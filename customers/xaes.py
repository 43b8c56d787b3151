"""XAES-256-GCM as C2SP specifies it (https://c2sp.org/XAES-256-GCM): AES-256-GCM with a 192-bit nonce.

The first 12 bytes of the nonce derive the AES-256-GCM key (SP 800-108 in counter mode over CMAC-AES256, whose
input is one block), the last 12 are its nonce. So everything under one prefix shares one derived key.
"""

from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_SIZE: Final = 32
NONCE_SIZE: Final = 24
PREFIX_SIZE: Final = 12
TAG_SIZE: Final = 16


class XaesKey:
    """One 256-bit key. `encrypt` and `decrypt` follow the C2SP text; `derive` is their shared half.

    `decrypt` raises cryptography's InvalidTag for anything that was not encrypted so. Never in a repr or a
    pickle.
    """

    __slots__ = ("_block", "_k1")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError(f"An XAES-256-GCM key has {KEY_SIZE} bytes.")
        # Single blocks: ECB over one or two blocks is the bare AES permutation that CMAC is made of.
        self._block: Cipher[modes.ECB] = Cipher(algorithms.AES256(key), modes.ECB())  # noqa: S305
        self._k1 = _cmac_subkey(self._encrypt_blocks(bytes(16)))

    def derive(self, prefix: bytes) -> AESGCM:
        """The AES-256-GCM of every nonce that begins with these 12 bytes."""
        if len(prefix) != PREFIX_SIZE:
            raise ValueError(f"A nonce prefix has {PREFIX_SIZE} bytes.")
        blocks = b"\x00\x01X\x00" + prefix + b"\x00\x02X\x00" + prefix
        masked = int.from_bytes(blocks, "big") ^ int.from_bytes(self._k1 + self._k1, "big")
        return AESGCM(self._encrypt_blocks(masked.to_bytes(32, "big")))

    def encrypt(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """Ciphertext and tag. The caller never repeats a nonce under one key."""
        _check_nonce(nonce)
        return self.derive(nonce[:PREFIX_SIZE]).encrypt(nonce[PREFIX_SIZE:], plaintext, aad)

    def decrypt(self, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
        """The plaintext; InvalidTag where key, nonce, ciphertext, tag or aad is any other."""
        _check_nonce(nonce)
        return self.derive(nonce[:PREFIX_SIZE]).decrypt(nonce[PREFIX_SIZE:], ciphertext, aad)

    def __repr__(self) -> str:
        return "XaesKey(…)"

    def __reduce__(self) -> str:
        raise TypeError("A key is not pickled.")

    def _encrypt_blocks(self, blocks: bytes) -> bytes:
        return self._block.encryptor().update(blocks)


def _cmac_subkey(zero_block: bytes) -> bytes:
    """K1 of SP 800-38B, section 6.1: a doubling in GF(2^128)."""
    doubled = int.from_bytes(zero_block, "big") << 1
    if zero_block[0] & 0x80:
        doubled ^= 0x87
    return (doubled & ((1 << 128) - 1)).to_bytes(16, "big")


def _check_nonce(nonce: bytes) -> None:
    if len(nonce) != NONCE_SIZE:
        raise ValueError(f"An XAES-256-GCM nonce has {NONCE_SIZE} bytes.")
