"""A signed call as a submission."""

import base64
import re
from typing import Final

from rest_framework.request import Request

from imports.api.authentication import call_of
from imports.api.problems import Problem
from imports.intake import Submission

_IDEMPOTENCY_KEY: Final = re.compile(r'"?([\x21\x23-\x7e]{1,255})"?')


def submission(request: Request) -> Submission:
    """What the call brings in. Raises Problem (invalid_parameter) for an Idempotency-Key that is none."""
    call = call_of(request)
    return Submission(
        customer_id=call.customer_id,
        media_type=call.content_type,
        body=call.body,
        body_digest=base64.urlsafe_b64decode(call.body_sha256 + "="),
        request_id=call.request_id,
        parameters={name: request.GET[name] for name in request.GET},
        source_ip=call.source_ip or None,
        hmac_key_id=call.key_pk,
        idempotency_key=_idempotency_key(request),
    )


def _idempotency_key(request: Request) -> str:
    """The key, bare or quoted; empty where there is none."""
    value = request.headers.get("Idempotency-Key")
    if value is None:
        return ""
    match = _IDEMPOTENCY_KEY.fullmatch(value.strip())
    if match is None:
        raise Problem(
            "invalid_parameter",
            "Idempotency-Key must have 1 to 255 visible ASCII characters, bare or in double quotes.",
        )
    return match.group(1)
