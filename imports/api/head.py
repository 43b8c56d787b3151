"""The form of a request, judged from its head alone: nothing here reads a body, a key or the database."""

import re
from dataclasses import dataclass
from typing import Any, Final

from imports.api.problems import Problem

MAX_BODY_BYTES: Final = 52_428_800
METHODS_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})

# Printable ASCII without what two programs might read differently: an escape, a dot segment, an empty segment.
_TARGET: Final = re.compile(r"[!-~]+")
_DIGITS: Final = re.compile(r"[0-9]{1,18}")
_METHOD: Final = re.compile(r"[A-Z]{3,7}")


@dataclass(frozen=True, slots=True)
class Head:
    """A well-formed head. `host` and `target` are as sent, which is how they were signed; `length` is 0 without a body.

    `authorization` and `idempotency_key` hold every header of that name: whoever reads them says how many there may be.
    """

    method: str
    path: str
    target: str
    host: str
    content_type: str
    content_encoding: str
    length: int
    authorization: tuple[str, ...]
    forwarded_for: tuple[str, ...]
    expects_continue: bool
    idempotency_key: tuple[str, ...] = ()


def read_head(scope: dict[str, Any]) -> Head:
    """The head of an ASGI HTTP scope. Raises Problem: malformed_request, length_required or body_too_large."""
    headers = _by_name(scope["headers"])
    method = scope["method"]
    path = _path(scope)
    if not _METHOD.fullmatch(method):
        raise _malformed("The method must be in capital letters.")
    host = _single(headers, "host")
    if not host or not _TARGET.fullmatch(host):
        raise _malformed("Send one Host header.")
    query = _text(scope.get("query_string", b""), "The query")
    if "%00" in query:
        raise _malformed("The query may hold no NUL (%00): no parameter takes it and no database stores it.")
    return Head(
        method=method,
        path=path,
        target=f"{path}?{query}" if query else path,
        host=host,
        content_type=_single(headers, "content-type"),
        content_encoding=_single(headers, "content-encoding").strip().lower(),
        length=_length(headers, method),
        authorization=tuple(headers.get("authorization", ())),
        forwarded_for=tuple(headers.get("x-forwarded-for", ())),
        expects_continue=_single(headers, "expect").strip().lower() == "100-continue",
        idempotency_key=tuple(headers.get("idempotency-key", ())),
    )


def header_values(scope: dict[str, Any], name: bytes) -> list[str]:
    """Every value of one header, for what must be known of a malformed request too."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def _by_name(pairs: list[tuple[bytes, bytes]]) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in pairs:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return headers


def _single(headers: dict[str, list[str]], name: str) -> str:
    values = headers.get(name, [])
    if len(values) > 1:
        raise _malformed(f"Send one {name.title()} header, not {len(values)}.")
    return values[0] if values else ""


def _path(scope: dict[str, Any]) -> str:
    path = _text(scope.get("raw_path") or scope["path"].encode(), "The path")
    if "%" in path or "//" in path or ".." in path or "#" in path:
        raise _malformed("The path may hold no %, // and ..")
    return path


def _text(value: bytes, what: str) -> str:
    text = value.decode("latin-1")
    if text and not _TARGET.fullmatch(text):
        raise _malformed(f"{what} must be printable ASCII without white space.")
    return text


def _length(headers: dict[str, list[str]], method: str) -> int:
    if "transfer-encoding" in headers:
        raise Problem("length_required", "Transfer-Encoding is not taken. Send Content-Length in its place.")
    value = _single(headers, "content-length")
    if not value:
        if method in METHODS_WITH_BODY:
            raise Problem("length_required", "Send Content-Length, 0 where there is no body.")
        return 0
    if not _DIGITS.fullmatch(value):
        raise _malformed("Content-Length must be digits and nothing else.")
    length = int(value)
    if length > MAX_BODY_BYTES:
        raise too_large(MAX_BODY_BYTES)
    if length and method not in METHODS_WITH_BODY:
        raise _malformed(f"{method} takes no body.")
    return length


def too_large(limit: int) -> Problem:
    """A body over `limit` bytes on the wire."""
    return Problem(
        "body_too_large",
        f"The body may have at most {limit:,} bytes. Compress it with gzip or send it in parts.",
    )


def _malformed(detail: str) -> Problem:
    return Problem("malformed_request", detail)
