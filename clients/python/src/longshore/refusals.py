"""From an HTTP answer that is no success to the error that says what to do."""

import json
from collections.abc import Mapping
from typing import Any

import httpx2

from longshore.errors import (
    AskForAccess,
    CheckId,
    FixConfiguration,
    FixKey,
    FixRequest,
    LongshoreError,
    ReportFault,
    TryLater,
)
from longshore.patience import parse_date, retry_after_seconds

_STEP_HINTS: Mapping[str, str] = {
    "form": "Something on the way changed the Authorization header; a proxy or an old client, for example.",
    "digest": "Something on the way changed the body; look for a proxy that rewrites or recompresses it.",
    "replay": "Something on the way sent the same request twice; look for a proxy that repeats requests.",
    "signature": "Check LONGSHORE_KEY_ID and LONGSHORE_SECRET (revoked or expired?), then: longshore verify",
}


def error_for(response: httpx2.Response, now: float) -> LongshoreError:
    """The body must have been read. `now` is this machine's Unix time, to tell how far its clock is off."""
    problem = _problem(response)
    status = response.status_code
    if response.is_redirect:
        return _redirected(response)
    if problem is None:
        return _not_ours(response)
    code = str(problem.get("code") or f"http_{status}")
    message = str(problem.get("detail") or problem.get("title") or f"The server answered {status}.")
    request_id = str(problem.get("requestId") or response.headers.get("x-request-id") or "") or None
    listed = problem.get("errors")
    errors = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []

    def make(kind: type[LongshoreError], hint: str | None = None) -> LongshoreError:
        return kind(code, message, hint=hint, status=status, request_id=request_id, errors=errors)

    if status == 401:
        return _explain_401(make(FixKey), str(problem.get("step") or ""), response, now)
    if status == 403:
        return make(AskForAccess)
    if status == 404:
        return make(CheckId)
    if status in (429, 503):
        return make(TryLater, _when(response, now))
    if status >= 500:
        return make(ReportFault)
    return make(FixRequest)


def is_longshore(response: httpx2.Response) -> bool:
    """Whether the answer is JSON, as every answer of a Longshore server's API is."""
    return response.headers.get("content-type", "").partition(";")[0].strip().endswith("json")


def not_ours(response: httpx2.Response) -> LongshoreError:
    """A success that is no JSON object."""
    return _not_ours(response)


def _problem(response: httpx2.Response) -> dict[str, Any] | None:
    if not is_longshore(response):
        return None
    try:
        problem = json.loads(response.content)
    except ValueError:
        return None
    return problem if isinstance(problem, dict) else None


def _explain_401(error: LongshoreError, step: str, response: httpx2.Response, now: float) -> LongshoreError:
    if not isinstance(error, FixKey):
        return error
    error.step = step or None
    error.hint = _STEP_HINTS.get(step, _STEP_HINTS["signature"])
    date = parse_date(response.headers.get("date"))
    if date is not None:
        error.skew_seconds = round(now - date.timestamp(), 1)
    if step == "clock":
        error.hint = "Set this machine's clock (NTP); the server takes five minutes of difference."
        if error.skew_seconds is not None:
            way = "ahead of" if error.skew_seconds > 0 else "behind"
            error.message = f"This machine's clock is {abs(error.skew_seconds):,.0f} seconds {way} the server's."
            error.args = (error.message,)
    return error


def _when(response: httpx2.Response, now: float) -> str:
    seconds = retry_after_seconds(response.headers.get("retry-after"), now)
    return "Try again later." if seconds is None else f"Try again in {max(1, round(seconds)):,} s."


def _redirected(response: httpx2.Response) -> LongshoreError:
    location = response.headers.get("location", "")
    try:
        target = response.request.url.join(location)
        place = f"{target.scheme}://{target.netloc.decode('ascii')}"
    except (httpx2.InvalidURL, ValueError):
        place = "another address"
    return FixConfiguration(
        "redirected",
        f"The server sends us to {place}; a signed request cannot follow.",
        hint=f"Set LONGSHORE_URL={place}",
        status=response.status_code,
    )


def _not_ours(response: httpx2.Response) -> LongshoreError:
    status = response.status_code
    kind = response.headers.get("content-type", "no content type").partition(";")[0]
    message = f"{response.request.url.host} answered {status} with {kind}, which is not a Longshore answer."
    if status in (429, 502, 503, 504):
        return TryLater("no_longshore_answer", message, hint="Try again later.", status=status)
    return (CheckId if status == 404 else FixRequest if 400 <= status < 500 else ReportFault)(
        "no_longshore_answer",
        message,
        hint="Check LONGSHORE_URL, and what stands between here and the server (proxy, login page).",
        status=status,
    )
