"""Two web processes of one house, and callers who use both at once."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Barrier
from typing import Any, TypeVar

from customers import signing
from customers.enrolment import IssuedKey
from tests.imports.api.wire import JSON, Answer, Signer, exchange, is_answered
from tests.live import LiveServer, granian_server

BULK = "/api/v1/imports/bulk"
VALIDATE = "/api/v1/imports/validate"
LIST = "/api/v1/imports"
LIMITS = "/api/v1/limits"
METADATA = {"source": "crm", "version": "1.0.0", "timestamp": "2024-03-15T00:00:00Z"}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timed:
    """An answer, and between which moments the server counted its call."""

    answer: Answer
    began: float
    ended: float


@contextmanager
def pair_of_servers(
    application: str = "config.asgi:application", **environment: str
) -> Iterator[tuple[LiveServer, LiveServer]]:
    told: Mapping[str, str] = {"WEB": "2", **environment}
    with granian_server(application, environment=told) as one, granian_server(application, environment=told) as two:
        yield one, two


def signers(pair: tuple[LiveServer, LiveServer], issued: IssuedKey) -> list[Signer]:
    return [Signer(server, issued.key_id, issued.secret) for server in pair]


def body_of(*ids: str, count: int = 0) -> bytes:
    named = ids or tuple(f"A-{number}" for number in range(count))
    records = [{"id": name, "type": "customer", "attributes": {"name": name}} for name in named]
    return json.dumps({"metadata": METADATA, "records": records}).encode()


def at_once(*functions: Callable[[], T]) -> list[T]:
    """Each function's value, all begun at the same moment."""
    together = Barrier(len(functions))

    def begin(function: Callable[[], T]) -> T:
        together.wait(timeout=30)
        return function()

    with ThreadPoolExecutor(len(functions)) as threads:
        return list(threads.map(begin, functions))


def timed(call: Callable[[], Answer]) -> Timed:
    began = time.time()
    answer = call()
    return Timed(answer, began, time.time())


def most_in(seconds: float, calls: list[Timed]) -> int:
    """The most of these calls that were surely counted within so many seconds, wherever those begin."""
    most = 0
    for first in calls:
        within = [call for call in calls if call.began >= first.began and call.ended < first.began + seconds]
        most = max(most, len(within))
    return most


def head_alone(signer: Signer, body: bytes, **headers: str) -> Answer:
    """What is answered to a signed bulk import of which no byte of the body is ever sent; status 0: nothing."""
    lines = {
        "Host": f"{signer.server.host}:{signer.server.port}",
        "Content-Type": JSON,
        "Content-Length": str(len(body)),
        "Authorization": signer.authorization("POST", BULK, content_type=JSON, body_sha256=signing.body_digest(body)),
        **headers,
    }
    head = "\r\n".join([f"POST {BULK} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items()), "", ""])
    received = exchange(signer.server, head.encode(), seconds=1.5, until=is_answered)
    if not received:
        return Answer(0, {}, b"")
    first, _, content = received.partition(b"\r\n\r\n")
    status_line, *rest = first.decode().split("\r\n")
    answered: dict[str, Any] = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
    return Answer(int(status_line.split(" ")[1]), answered, content)
