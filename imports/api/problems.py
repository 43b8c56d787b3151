"""One form for every refusal: application/problem+json (RFC 9457), the same from the gate, the views and Django."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rest_framework import exceptions

from customers.keyring import ErasedError, KeyGoneError
from imports.api.call import request_id
from imports.api.codes import CODES, PAGE
from imports.refusal import Refusal
from imports.session import is_away

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 5

_STEPS: Final = {
    "signature_form": "form",
    "signature_clock": "clock",
    "signature_digest": "digest",
    "signature_replay": "replay",
    "signature_invalid": "signature",
}
# An unknown key and a wrong mac must be answered with the same bytes, so before the signature is known to be good the
# request id stands in the X-Request-ID header alone.
_WITHOUT_REQUEST_ID: Final = frozenset({"signature_form", "signature_clock", "signature_invalid"})

_VALKEY_AWAY: Final = (RedisConnectionError, RedisTimeoutError)


class Flaw(NamedTuple):
    """One fault inside a body: where it is (JSON Pointer), its code and a text that quotes nothing that was sent."""

    pointer: str
    code: str
    detail: str


class Problem(Exception):
    """A refusal to be answered as it stands. `code` is a key of CODES, `detail` says what to do and is safe to show."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        errors: Iterable[tuple[str, str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.status = CODES[code].status
        self.title = CODES[code].title
        self.detail = detail or CODES[code].detail
        self.errors = tuple(Flaw(*error) for error in errors)
        self.headers = dict(headers or {})
        if self.status == 401:
            self.headers["WWW-Authenticate"] = "HMAC"
        if self.status == 503:
            self.headers.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))

    @property
    def step(self) -> str:
        """The check of the signature that failed: form, clock, digest, replay or signature; "" for other refusals."""
        return _STEPS.get(self.code, "")

    def body(self, *, instance: str, request_id: str) -> bytes:
        """The problem document; `instance` is the path of the refused request."""
        document: dict[str, Any] = {
            "type": f"{PAGE}#{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            "code": self.code,
        }
        if self.step:
            document["step"] = self.step
        if request_id and self.code not in _WITHOUT_REQUEST_ID:
            document["requestId"] = request_id
        if self.errors:
            document["errors"] = [flaw._asdict() for flaw in self.errors]
        return orjson.dumps(document)


def problem_of(error: BaseException) -> Problem | None:
    """The refusal that an exception means, or None where it is a fault of ours (a 500).

    This is the one place where a lost database, a full pool and a lost Valkey become 503 with Retry-After.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, Refusal):
        headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else None
        return Problem(error.code, error.detail, errors=error.errors, headers=headers)
    if is_away(error) or isinstance(error, _VALKEY_AWAY):
        logger.warning("unavailable", exc_info=error)
        return Problem("unavailable")
    if isinstance(error, ErasedError):
        return Problem("customer_erased")
    if isinstance(error, KeyGoneError):
        logger.warning("data_key_gone", extra={"cause": str(error)})
        return Problem("unavailable")
    if isinstance(error, Http404):
        return Problem("not_found")
    if isinstance(error, PermissionDenied):
        return Problem("scope_missing")
    if isinstance(error, exceptions.APIException):
        return _of_rest_framework(error)
    return None


def handle_exception(error: Exception, context: dict[str, Any]) -> HttpResponse | None:
    """DRF's EXCEPTION_HANDLER. None hands the exception on to Django, which logs it and calls handler500."""
    problem = problem_of(error)
    return answer(problem, context["request"]) if problem else None


def answer(problem: Problem, request: Any) -> HttpResponse:
    """The problem as a Django response."""
    content = problem.body(instance=request.path, request_id=request_id(request))
    return HttpResponse(content, status=problem.status, content_type=MEDIA_TYPE, headers=problem.headers)


def is_api_path(path: str) -> bool:
    """True for what answers in problem documents rather than pages."""
    return path.startswith("/api/")


_BY_STATUS: Final = {
    400: "malformed_request",
    401: "signature_form",
    403: "scope_missing",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    415: "unsupported_media_type",
    429: "rate_limited",
    503: "unavailable",
}


def _of_rest_framework(error: exceptions.APIException) -> Problem | None:
    # A serializer's messages may quote the value, so none is passed on; imports.api.bodies says where and why instead.
    if isinstance(error, exceptions.ValidationError):
        return Problem("invalid_body")
    code = _BY_STATUS.get(error.status_code)
    if code is None:
        return None
    wait = getattr(error, "wait", None)
    return Problem(code, headers={"Retry-After": str(int(wait) + 1)} if wait else None)
