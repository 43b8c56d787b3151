"""One signed call, repeated where that is safe.

Every attempt is signed anew: the same signature twice is a replay.
"""

import platform
import ssl
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata

import httpx2

from longshore import signing
from longshore.body import Body, OnBytes
from longshore.config import Config
from longshore.errors import FixConfiguration, LongshoreError
from longshore.patience import Patience, Timing, retry_after_seconds
from longshore.refusals import error_for
from longshore.unreachable import is_passing, unreachable, was_never_sent
from longshore.wire import Transport

ATTEMPT_SECONDS = 60.0
CONNECT_SECONDS = 10.0
EXPECT_CONTINUE_BYTES = 1024 * 1024

OnWait = Callable[[LongshoreError, float], None]
"""Called before a pause, with what went wrong and the seconds until the next attempt."""


@dataclass(frozen=True)
class Call:
    """`is_repeatable`: doing it twice is the same as once (a read, or a POST with an Idempotency-Key)."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = ""
    body: Body | None = None
    is_repeatable: bool = True
    has_idempotency_key: bool = False
    is_streamed: bool = False


class Session:
    """Connections to one server under one key."""

    def __init__(
        self, config: Config, *, timeout: float, on_wait: OnWait | None = None, timing: Timing | None = None
    ) -> None:
        self._config = config
        self._timeout = timeout
        self._on_wait = on_wait
        self._timing = timing or Timing()
        self.tls = _trust(config.url)
        self._http = httpx2.Client(
            transport=Transport(verify=self.tls, proxy=_proxy_for(config.url)),
            headers={"User-Agent": _user_agent(), "Accept": "application/json, */*;q=0.5"},
        )

    def close(self) -> None:
        self._http.close()

    def send(self, call: Call, *, on_bytes: OnBytes | None = None) -> httpx2.Response:
        """The successful answer (2xx); LongshoreError otherwise, after as many tries as make sense."""
        return self.send_signed(call, on_bytes=on_bytes)[0]

    def send_signed(self, call: Call, *, on_bytes: OnBytes | None = None) -> tuple[httpx2.Response, signing.Signature]:
        """The same, with the signature of the attempt that was answered."""
        patience = Patience(self._timeout, self._timing)
        while True:
            try:
                response, signature = self._attempt(call, patience.left, on_bytes)
            except httpx2.RequestError as err:
                retry_after = None
                failure = unreachable(err, self._config.url)
                is_worth_it = is_passing(err) and (call.is_repeatable or was_never_sent(err))
            else:
                if response.is_success:
                    return response, signature
                retry_after = retry_after_seconds(response.headers.get("retry-after"), self._timing.now())
                failure = self._refusal(response)
                is_worth_it = _is_worth_repeating(call, response.status_code, failure.code)
            pause = patience.next_pause(retry_after) if is_worth_it else None
            if pause is None:
                raise failure
            if self._on_wait:
                self._on_wait(failure, pause)
            patience.wait(pause)

    def sign(self, call: Call) -> tuple[httpx2.Request, signing.Signature]:
        """The request as it will be sent, and its signature over exactly that."""
        target = call.path + (f"?{urllib.parse.urlencode(call.query)}" if call.query else "")
        headers = dict(call.headers)
        if call.body is not None:
            headers |= {"Content-Type": call.content_type, "Content-Length": str(call.body.size)}
            if call.body.is_gzipped:
                headers["Content-Encoding"] = "gzip"
            if call.body.size > EXPECT_CONTINUE_BYTES:
                headers["Expect"] = "100-continue"
        content = call.body.chunks() if call.body is not None else None
        url = self._config.url.copy_with(raw_path=target.encode("ascii"))
        request = self._http.build_request(call.method, url, headers=headers, content=content)
        signature = signing.sign(
            self._config.key,
            method=request.method,
            host=request.headers["host"],
            target=request.url.raw_path.decode("ascii"),
            content_type=request.headers.get("content-type", ""),
            body_sha256=call.body.sha256 if call.body is not None else signing.EMPTY_DIGEST,
            timestamp=int(self._timing.now()),
        )
        request.headers["Authorization"] = signature.authorization
        return request, signature

    def _attempt(self, call: Call, left: float, on_bytes: OnBytes | None) -> tuple[httpx2.Response, signing.Signature]:
        request, signature = self.sign(call)
        if call.body is not None and on_bytes:
            request.stream = _Counted(call.body, on_bytes)
        within = min(ATTEMPT_SECONDS, max(1.0, left))
        timeout = httpx2.Timeout(within, connect=min(CONNECT_SECONDS, within))
        request.extensions = {**request.extensions, "timeout": timeout.as_dict()}
        return self._http.send(request, stream=call.is_streamed), signature

    def _refusal(self, response: httpx2.Response) -> LongshoreError:
        try:
            response.read()
        finally:
            response.close()
        return error_for(response, self._timing.now())


class _Counted(httpx2.SyncByteStream):
    """A body that reports how much of it has been sent."""

    def __init__(self, body: Body, on_bytes: OnBytes) -> None:
        self._body = body
        self._on_bytes = on_bytes

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        for chunk in self._body.chunks():
            yield chunk
            sent += len(chunk)
            self._on_bytes("sending", sent, self._body.size)


def _is_worth_repeating(call: Call, status: int, code: str) -> bool:
    if status in (429, 503):  # the server did not begin
        return True
    if status in (500, 502, 504):
        return call.is_repeatable
    # An earlier attempt, or another call for the same, is still being taken in.
    return status == 409 and (call.has_idempotency_key or code == "idempotency_in_flight")


def _trust(url: httpx2.URL) -> ssl.SSLContext:
    """TLS 1.3 under the system's authorities or SSL_CERT_FILE. For http nothing is loaded and nothing trusted."""
    tls = httpx2.create_ssl_context() if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    return tls


def _proxy_for(url: httpx2.URL) -> str | None:
    """HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, as everywhere."""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(url.host):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if not proxy.startswith(("http://", "https://")):
        raise FixConfiguration(
            "proxy_unsupported", "Only HTTP proxies are supported.", hint="Set NO_PROXY for this host."
        )
    return proxy


def version() -> str:
    """The installed package's, or `checkout`."""
    try:
        return metadata.version("longshore-client")
    except metadata.PackageNotFoundError:
        return "checkout"


def _user_agent() -> str:
    return f"longshore-client/{version()} python/{platform.python_version()}"
