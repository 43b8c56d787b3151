"""Follow one import to its end: over the live socket, by polling where sockets are blocked.

The socket is only the faster way to hear; the answer to `GET /imports/{jobId}` is the truth. Whenever the
socket stays silent, breaks or cannot be opened, that is what is asked, so that watching never hangs.
"""

import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from longshore.errors import LongshoreError

if TYPE_CHECKING:
    from longshore.client import Client

FINISHED = ("completed", "failed")
POLL_SECONDS = 1.0
SILENCE_SECONDS = 10.0
OPEN_SECONDS = 5.0
REJOINS = 3


@dataclass(frozen=True)
class Progress:
    """A snapshot. `is_live`: it came over the socket; `seconds_left`: None while nobody can know."""

    job_id: str
    status: str
    total: int
    processed: int
    failed: int
    outcomes: Mapping[str, int] = field(default_factory=dict)
    rate: float | None = None
    seconds_left: float | None = None
    is_live: bool = False

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED


def watch(
    client: "Client",
    job_id: str,
    tls: ssl.SSLContext,
    *,
    sleep: Callable[[float], None] = time.sleep,
    silence_seconds: float = SILENCE_SECONDS,
    poll_seconds: float = POLL_SECONDS,
) -> Iterator[Progress]:
    """Yields until the import has ended. LongshoreError when even asking for its status fails for good."""
    after: int | None = None
    fruitless = 0
    while fruitless <= REJOINS and (socket := _open(client, job_id, tls, after)):
        fruitless += 1
        with socket:
            for seq, heard in _frames(socket, job_id, silence_seconds):
                if heard:
                    fruitless = 0
                    after = after if seq is None else seq
                progress = heard or _ask(client, job_id)
                yield progress
                if progress.is_finished:
                    return
        sleep(poll_seconds)
    while True:
        progress = _ask(client, job_id)
        yield progress
        if progress.is_finished:
            return
        sleep(poll_seconds)


def _open(client: "Client", job_id: str, tls: ssl.SSLContext, after: int | None) -> ClientConnection | None:
    """None where there is no way to a socket; why does not matter, since polling works or says why not."""
    try:
        ticket = client.socket_ticket(job_id)
        url = _socket_url(client.url, ticket.url, ticket.ticket, after)
        connection = connect(
            url,
            ssl=tls if url.startswith("wss:") else None,
            open_timeout=OPEN_SECONDS,
            close_timeout=1,
        )
    except (LongshoreError, WebSocketException, httpx2.InvalidURL, OSError, ValueError, ImportError):
        return None
    return connection if isinstance(connection, ClientConnection) else None


def _socket_url(base: httpx2.URL, url: str, ticket: str, after: int | None) -> str:
    """On the host we know: behind a proxy the server may know neither its own name nor its scheme."""
    given = base.join(url)
    address = base.copy_with(
        scheme="wss" if base.scheme == "https" else "ws", path=given.path, query=given.query or None
    )
    if "ticket" not in address.params:
        address = address.copy_add_param("ticket", ticket)
    if after is not None:
        address = address.copy_set_param("after", str(after))
    return str(address)


def _frames(
    socket: ClientConnection, job_id: str, silence_seconds: float
) -> Iterator[tuple[int | None, Progress | None]]:
    """(seq, progress) for each frame, (None, None) for each silence; ends when the socket does."""
    while True:
        try:
            text = socket.recv(timeout=silence_seconds)
        except TimeoutError:
            yield None, None
            continue
        except (WebSocketException, OSError):
            return
        try:
            frame = json.loads(text)
        except ValueError:
            continue
        data = frame.get("data") if isinstance(frame, dict) else None
        if isinstance(data, dict) and isinstance(data.get("progress"), dict):
            seq = frame.get("seq")
            yield seq if isinstance(seq, int) else None, _progress(job_id, data, is_live=True)


def _ask(client: "Client", job_id: str) -> Progress:
    return _progress(job_id, client.status(job_id), is_live=False)


def _progress(job_id: str, data: Mapping[str, Any], *, is_live: bool) -> Progress:
    counts = data.get("progress") or {}
    total, processed = int(counts.get("total") or 0), int(counts.get("processed") or 0)
    rate = data.get("rate")
    rate = float(rate) if isinstance(rate, int | float) and rate > 0 else None
    return Progress(
        job_id=job_id,
        status=str(data.get("status") or "pending"),
        total=total,
        processed=processed,
        failed=int(counts.get("failed") or 0),
        outcomes={name: int(count) for name, count in (data.get("outcomes") or {}).items()},
        rate=rate,
        seconds_left=(total - processed) / rate if rate else None,
        is_live=is_live,
    )
