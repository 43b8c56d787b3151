"""A caller who has read docs/callers.md and nothing else: the standard library, and no code of ours."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

JSON = "application/vnd.bigcorp.v1+json"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def call(
    url: str,
    key_id: str,
    secret: str,
    method: str,
    target: str,
    *,
    body: bytes = b"",
    content_type: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One signed request over a connection of its own, as JSON unless said otherwise. Header names of the answer are in
    lower case."""
    host = urlsplit(url).netloc
    content_type = (JSON if body else "") if content_type is None else content_type
    nonce, ts = _text(os.urandom(16)), str(int(time.time()))
    digest = _text(hashlib.sha256(body).digest())
    string = "\n".join(["HMAC-SHA256-V1", key_id, ts, nonce, method, host, target, content_type, digest])
    key = base64.urlsafe_b64decode(secret.removeprefix("lsk_") + "=")
    mac = _text(hmac.new(key, string.encode(), hashlib.sha256).digest())
    sent = {"Authorization": f"HMAC v1.{key_id}.{ts}.{nonce}.{digest}.{mac}", **(headers or {})}
    if content_type:
        sent["Content-Type"] = content_type
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        connection.request(method, target, body=body or None, headers={**sent, "Content-Length": str(len(body))})
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
