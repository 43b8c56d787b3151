from typing import Annotated

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from msgspec import Meta, Struct
from rest_framework.request import Request
from rest_framework.views import APIView

from customers import enrolment
from customers.models import HmacKey
from imports.api import schema
from imports.api.answers import json_answer
from imports.api.authentication import call_of
from imports.api.bodies import json_body
from imports.api.problems import Problem
from imports.envelope import JSON
from imports.progress import wire_time

_REFUSALS = {"key_not_live": "signature_invalid", "too_many_keys": "too_many_keys"}


class Rotation(Struct, forbid_unknown_fields=True, rename="camel"):
    overlap_hours: Annotated[int, Meta(ge=0, le=enrolment.MAX_OVERLAP_HOURS)] = enrolment.MAX_OVERLAP_HOURS


class KeyRotationView(APIView):
    """A new key beside the one that signed this call. Its secret is in this answer and nowhere else."""

    required_scope = "keys:rotate"

    @extend_schema(
        operation_id="rotateKey",
        summary="Issue the successor of the key that signs this call",
        request={JSON: schema.Rotation},
        responses={201: schema.RotatedKey, **schema.problems(400, 401, 403, 409, 415, 422, 429, 503)},
    )
    def post(self, request: Request) -> HttpResponse:
        call = call_of(request)
        wanted = json_body(call, type=Rotation) if call.body else Rotation()
        old = HmacKey(pk=call.key_pk)
        try:
            issued = enrolment.rotate_key(old, overlap_hours=wanted.overlap_hours)
        except enrolment.EnrolmentError as error:
            raise Problem(_REFUSALS[error.code]) from None
        old.refresh_from_db(fields=["key_id", "expires_at"])
        content = {
            "keyId": issued.key_id,
            "secret": issued.secret,
            "scopes": list(issued.key.scopes),
            "expiresAt": wire_time(issued.key.expires_at),
            "replaces": {"keyId": old.key_id, "expiresAt": wire_time(old.expires_at)},
        }
        return json_answer(content, status=201, headers={"Cache-Control": "no-store"})
