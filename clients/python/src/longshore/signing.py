"""Sign one request: `Authorization: HMAC v1.{key_id}.{ts}.{nonce}.{body_sha256}.{mac}`.

Pure functions over text, so that they can be held against the shared vectors and against openssl.
"""

import base64
import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field

from longshore.errors import FixConfiguration

ALGORITHM = "HMAC-SHA256-V1"
SECRET_PREFIX = "lsk_"  # noqa: S105  how a secret begins
SECRET_BYTES = 32
NONCE_BYTES = 16

_KEY_ID = re.compile(r"[A-Za-z0-9_-]{8,40}")
_SECRET = re.compile(r"lsk_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Key:
    """A key id and its 32 secret bytes. The secret never appears in repr()."""

    key_id: str
    secret: bytes = field(repr=False)

    @classmethod
    def parse(cls, key_id: str, secret: str) -> "Key":
        """Take both as the server printed them; FixConfiguration where one cannot be what it printed."""
        if not _KEY_ID.fullmatch(key_id):
            raise FixConfiguration(
                "key_id_malformed",
                "The key id is not one that a Longshore server gives out.",
                hint="Copy it again (8 to 40 letters, digits, - or _) and set LONGSHORE_KEY_ID.",
            )
        return cls(key_id, decode_secret(secret))


def decode_secret(secret: str) -> bytes:
    """The 32 bytes behind `lsk_…`. The error never quotes what it was given."""
    if not _SECRET.fullmatch(secret):
        raise FixConfiguration(
            "secret_malformed",
            "The secret is not one that a Longshore server gives out.",
            hint="Copy it again, whole: lsk_ and 43 characters. Set it as LONGSHORE_SECRET.",
        )
    return base64.urlsafe_b64decode(secret.removeprefix(SECRET_PREFIX) + "=")


def encode(raw: bytes) -> str:
    """base64url without padding, the form of nonce, digest and mac."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def body_digest(body: bytes) -> str:
    """SHA-256 of the bytes as they go over the wire."""
    return encode(hashlib.sha256(body).digest())


EMPTY_DIGEST = body_digest(b"")


def string_to_sign(
    *,
    key_id: str,
    timestamp: int,
    nonce: str,
    method: str,
    host: str,
    target: str,
    content_type: str,
    body_sha256: str,
) -> str:
    """The nine lines. `host` is the Host header as sent, `target` the path and query as sent."""
    return "\n".join(
        (ALGORITHM, key_id, str(timestamp), nonce, method, host.lower(), target, content_type, body_sha256)
    )


def mac(secret: bytes, text: str) -> str:
    """HMAC-SHA256 over the string to sign."""
    return encode(hmac.new(secret, text.encode("utf-8"), hashlib.sha256).digest())


def new_nonce() -> str:
    """16 random bytes; the server takes each one once."""
    return encode(secrets.token_bytes(NONCE_BYTES))


@dataclass(frozen=True)
class Signature:
    """The header value and the string it was made from (which holds no secret)."""

    authorization: str
    string_to_sign: str


def sign(
    key: Key,
    *,
    method: str,
    host: str,
    target: str,
    content_type: str,
    body_sha256: str,
    timestamp: int | None = None,
    nonce: str | None = None,
) -> Signature:
    """Sign one attempt. Leave timestamp and nonce out: the same signature twice is a replay."""
    timestamp = int(time.time()) if timestamp is None else timestamp
    nonce = nonce or new_nonce()
    text = string_to_sign(
        key_id=key.key_id,
        timestamp=timestamp,
        nonce=nonce,
        method=method,
        host=host,
        target=target,
        content_type=content_type,
        body_sha256=body_sha256,
    )
    token = ".".join(("v1", key.key_id, str(timestamp), nonce, body_sha256, mac(key.secret, text)))
    return Signature(f"HMAC {token}", text)
