"""What it means when there was no answer at all."""

import socket
import ssl

import httpx2

from longshore.errors import FixConfiguration, LongshoreError, TryLater


def unreachable(err: httpx2.RequestError, url: httpx2.URL) -> LongshoreError:
    """The error for it. `url` is the server's address."""
    place = f"{url.scheme}://{url.netloc.decode('ascii')}"
    if tls := _tls_failure(err):
        reason = getattr(tls, "verify_message", None) or getattr(tls, "reason", None) or "handshake failed"
        return FixConfiguration(
            "tls_failed",
            f"No trusted TLS 1.3 connection to {place}: {reason}.",
            hint="Check LONGSHORE_URL; for a certificate authority of your own set SSL_CERT_FILE=ca.pem.",
        )
    if isinstance(err, httpx2.ProxyError):
        return FixConfiguration(
            "proxy_refused", f"The proxy did not connect to {place}.", hint="Check HTTPS_PROXY and NO_PROXY."
        )
    if was_never_sent(err):
        message = f"{place} cannot be reached: {_reason(err)}."
        return TryLater("unreachable", message, hint="Check LONGSHORE_URL and that the server runs.")
    if isinstance(err, httpx2.TimeoutException):
        return TryLater("timed_out", f"{place} did not answer in time.", hint="Try again later.")
    return TryLater("connection_lost", f"The connection to {place} broke: {_reason(err)}.", hint="Try again later.")


def was_never_sent(err: httpx2.RequestError) -> bool:
    """Whether there was not even a connection, so that any call may be repeated."""
    return isinstance(err, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError)


def is_passing(err: httpx2.RequestError) -> bool:
    """Whether time may mend it: a name or a certificate that is wrong stays wrong."""
    if isinstance(err, httpx2.UnsupportedProtocol | httpx2.LocalProtocolError | httpx2.ProxyError):
        return False
    name = _cause(err, socket.gaierror)
    return not _tls_failure(err) and not (name and name.errno == socket.EAI_NONAME)


def _tls_failure(err: httpx2.RequestError) -> OSError | None:
    """The handshake's own error; a connection that merely broke is none."""
    tls = _cause(err, ssl.SSLError) if isinstance(err, httpx2.ConnectError) else None
    return None if isinstance(tls, ssl.SSLEOFError) else tls


def _cause(err: BaseException, kind: type[OSError]) -> OSError | None:
    seen: BaseException | None = err
    while seen is not None:
        if isinstance(seen, kind):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _reason(err: httpx2.RequestError) -> str:
    cause = _cause(err, OSError)
    if cause is not None and cause.strerror:
        return cause.strerror[:1].lower() + cause.strerror[1:]
    return "no answer" if isinstance(err, httpx2.TimeoutException) else "closed by the other side"
