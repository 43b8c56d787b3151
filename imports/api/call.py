"""What the gate hands to the views: one call whose signature, network and body are all checked."""

import base64
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from imports.models import ImportJob

SCOPE_KEY: Final = "longshore"
REQUEST_ID_KEY: Final = "longshore.request_id"

# A secret that somebody put there is neither logged nor recorded.
_REQUEST_ID: Final = re.compile(r"(?!lsk_)[A-Za-z0-9._-]{8,64}")


@dataclass(frozen=True, slots=True)
class SignedCall:
    """One authenticated call. `body` is unpacked; `body_sha256` (base64url) and `size_on_wire` are those of the wire.

    `repeated` is the job that the same call made before: then nobody read the body, and `body` is empty.
    `source_ip` is the caller's address as far as a trusted proxy may be believed, "" where the peer has none.
    """

    customer_id: int
    key_pk: int
    key_id: str
    scopes: frozenset[str]
    content_type: str
    body: bytes
    body_sha256: str
    size_on_wire: int
    request_id: str
    source_ip: str
    idempotency_key: str = field(default="", repr=False)
    repeated: "ImportJob | None" = None

    @property
    def body_digest(self) -> bytes:
        """SHA-256 of the body on the wire."""
        return digest_bytes(self.body_sha256)

    def release(self) -> None:
        """Drops the body once the call is answered. A DRF request is a reference cycle, which would keep it until the
        garbage collector comes by."""
        object.__setattr__(self, "body", b"")

    def __repr__(self) -> str:
        return f"<SignedCall {self.key_id} {self.request_id}>"


def signed_call(request: Any) -> SignedCall | None:
    """The call that a Django or DRF request carries; None where it did not come through the gate."""
    scope = getattr(request, "scope", None)
    call = scope.get(SCOPE_KEY) if isinstance(scope, dict) else None
    return call if isinstance(call, SignedCall) else None


def request_id(request: Any) -> str:
    """The id that the gate or config.middleware gave this request; "" before either saw it."""
    scope = getattr(request, "scope", None)
    if isinstance(scope, dict) and REQUEST_ID_KEY in scope:
        return str(scope[REQUEST_ID_KEY])
    return str(request.META.get(REQUEST_ID_KEY, ""))


def digest_bytes(body_sha256: str) -> bytes:
    """The digest in a signature as bytes."""
    return base64.urlsafe_b64decode(body_sha256 + "=")


def choose_request_id(given: str | None) -> str:
    """The caller's own X-Request-ID where it is harmless to repeat and to log, else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
