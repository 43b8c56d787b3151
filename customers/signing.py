"""Request signatures. Plain Python: the gate verifies with it, and it can sign.

    Authorization: HMAC v1.{key_id}.{ts}.{nonce}.{body_sha256}.{mac}

mac = HMAC-SHA256 over nine lines joined by LF: HMAC-SHA256-V1, key_id, ts, nonce, method, host in lower case,
target as sent, content-type or "", body_sha256. Digests are base64url without padding, in their one canonical
spelling.
"""

import base64
import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Final

ALGORITHM: Final = "HMAC-SHA256-V1"
SCHEME: Final = "HMAC"
VERSION: Final = "v1"
CLOCK_TOLERANCE_SECONDS: Final = 300
# As long as any signature can be valid: 300 s ahead to 300 s behind, and a minute for good measure.
NONCE_SECONDS: Final = 660
SECRET_PREFIX: Final = "lsk_"  # noqa: S105  (public)
SECRET_SIZE: Final = 32
EMPTY_BODY_SHA256: Final = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"

# 43 characters spell 256 bits and two spare ones; zero spare bits leave these sixteen last characters.
_DIGEST: Final = r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"
_TOKEN: Final = re.compile(
    r"(?i:HMAC) v1"
    r"\.(?P<key_id>[A-Za-z0-9_-]{8,40})"
    r"\.(?P<timestamp>[0-9]{10})"
    r"\.(?P<nonce>[A-Za-z0-9_-]{22,64})"
    rf"\.(?P<body_sha256>{_DIGEST})"
    rf"\.(?P<mac>{_DIGEST})",
    re.ASCII,
)
_SECRET: Final = re.compile(rf"{SECRET_PREFIX}({_DIGEST})", re.ASCII)
_LINE: Final = re.compile(r"[\x20-\x7e\t]*")


class MalformedToken(ValueError):
    """Not a signature of this form, or a request that cannot be signed. Quotes nothing of what was sent."""


@dataclass(frozen=True, slots=True)
class Token:
    """What an Authorization header says. `timestamp` is in Unix seconds, the digests as in the header."""

    key_id: str
    timestamp: int
    nonce: str
    body_sha256: str
    mac: str = field(repr=False)


def parse_authorization(value: str | bytes) -> Token:
    """The token of one Authorization header value; MalformedToken for any other form."""
    try:
        text = value.decode("ascii") if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        raise MalformedToken("The Authorization header is not ASCII.") from None
    match = _TOKEN.fullmatch(text)
    if match is None:
        raise MalformedToken("The Authorization header is not of the form HMAC v1.key.time.nonce.digest.mac.")
    return Token(match["key_id"], int(match["timestamp"]), match["nonce"], match["body_sha256"], match["mac"])


def is_timely(token: Token, now: float) -> bool:
    """True within 300 s of `now`, in Unix seconds."""
    return abs(now - token.timestamp) <= CLOCK_TOLERANCE_SECONDS


def string_to_sign(token: Token, method: str, host: str, target: str, content_type: str = "") -> str:
    """The nine lines. `host` is the Host header, `target` path and query exactly as sent.

    MalformedToken where a part holds a control character or is not ASCII, since it could pass for another
    line.
    """
    parts = (method, host.lower(), target, content_type)
    if not all(map(_LINE.fullmatch, parts)):
        raise MalformedToken("The method, host, target or content type holds a character that cannot be signed.")
    timestamp = f"{token.timestamp:010d}"
    return "\n".join((ALGORITHM, token.key_id, timestamp, token.nonce, *parts, token.body_sha256))


def mac(secret: bytes, string: str) -> str:
    """HMAC-SHA256 of the string to sign under the 32 secret bytes, in base64url."""
    return encode(hmac.digest(secret, string.encode("ascii"), "sha256"))


def body_digest(body: bytes) -> str:
    """SHA-256 of the bytes on the wire, in base64url."""
    return encode(hashlib.sha256(body).digest())


def sign_request(
    key_id: str,
    secret: str | bytes,
    *,
    method: str,
    host: str,
    target: str,
    content_type: str = "",
    body_sha256: str = EMPTY_BODY_SHA256,
    timestamp: int | None = None,
    nonce: str | None = None,
) -> str:
    """The Authorization header value. `secret` is `lsk_…` or its 32 bytes; time and nonce: fresh ones."""
    unsigned = Token(
        key_id,
        int(time.time()) if timestamp is None else timestamp,
        new_nonce() if nonce is None else nonce,
        body_sha256,
        mac="",
    )
    key = decode_secret(secret) if isinstance(secret, str) else secret
    signature = mac(key, string_to_sign(unsigned, method.upper(), host, target, content_type))
    parts = (VERSION, key_id, f"{unsigned.timestamp:010d}", unsigned.nonce, body_sha256, signature)
    return f"{SCHEME} {'.'.join(parts)}"


def decode_secret(secret: str) -> bytes:
    """The 32 bytes of `lsk_` + base64url; ValueError, without the text, for anything else."""
    match = _SECRET.fullmatch(secret)
    if match is None:
        raise ValueError(f"A secret is {SECRET_PREFIX} and 43 characters of base64url.")
    return base64.urlsafe_b64decode(match[1] + "=")


def new_secret() -> str:
    """A fresh secret: `lsk_` + base64url of 32 random bytes."""
    return SECRET_PREFIX + encode(secrets.token_bytes(SECRET_SIZE))


def new_key_id() -> str:
    """A fresh public key id: `bk_` and 20 characters, 120 random bits."""
    return "bk_" + encode(secrets.token_bytes(15))


def new_nonce() -> str:
    """16 random bytes in base64url, 22 characters."""
    return encode(secrets.token_bytes(16))


def encode(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
