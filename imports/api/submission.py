"""A signed call as a submission."""

from rest_framework.request import Request

from imports.api.authentication import call_of
from imports.intake import Submission


def submission(request: Request) -> Submission:
    """What the call brings in."""
    call = call_of(request)
    return Submission(
        customer_id=call.customer_id,
        media_type=call.content_type,
        body=call.body,
        body_digest=call.body_digest,
        request_id=call.request_id,
        parameters={name: request.GET[name] for name in request.GET},
        source_ip=call.source_ip or None,
        hmac_key_id=call.key_pk,
        idempotency_key=call.idempotency_key,
    )
