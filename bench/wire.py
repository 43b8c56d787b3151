"""A caller at the wire, so that the clock starts with the body's last byte."""

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any

from customers import signing

MEDIA_TYPE = "application/vnd.bigcorp.v1+json"


@dataclass(frozen=True)
class Caller:
    """One key at one server."""

    host: str
    port: int
    key_id: str
    secret: str

    def push(self, body: bytes) -> tuple[str, float]:
        """(job id, seconds from the last byte handed to the kernel to the first byte of the 202)."""
        target = "/api/v1/imports/bulk"
        connection = http.client.HTTPConnection(self.host, self.port, timeout=120)
        connection.putrequest("POST", target, skip_accept_encoding=True)
        for name, value in self._headers("POST", target, body).items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(body)
        sent_at = time.perf_counter()
        answer = connection.getresponse()
        seconds = time.perf_counter() - sent_at
        said = answer.read()
        connection.close()
        if answer.status != 202:
            raise RuntimeError(f"The push was answered {answer.status}: {said.decode()[:500]}")
        return str(json.loads(said)["jobId"]), seconds

    def status(self, job_id: str) -> tuple[dict[str, Any], float]:
        """(the import, seconds the call took on a fresh connection)."""
        target = f"/api/v1/imports/{job_id}"
        began = time.perf_counter()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        connection.request("GET", target, headers=self._headers("GET", target))
        answer = connection.getresponse()
        said = json.loads(answer.read())
        connection.close()
        seconds = time.perf_counter() - began
        if answer.status != 200:
            raise RuntimeError(f"The status was answered {answer.status}: {said}")
        return said, seconds

    def _headers(self, method: str, target: str, body: bytes = b"") -> dict[str, str]:
        host = f"{self.host}:{self.port}"
        content_type = MEDIA_TYPE if body else ""
        headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body))} if body else {}
        return headers | {
            "Authorization": signing.sign_request(
                self.key_id,
                self.secret,
                method=method,
                host=host,
                target=target,
                content_type=content_type,
                body_sha256=signing.body_digest(body),
            )
        }
