from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from imports import allowance
from imports.api import schema
from imports.api.answers import json_answer
from imports.api.authentication import call_of
from imports.api.head import MAX_BODY_BYTES
from imports.api.unpacking import MAX_UNPACKED_BYTES


class LimitsView(APIView):
    """Quotas and their use, running imports, and the sizes a body may have."""

    required_scope = "imports:read"

    @extend_schema(
        operation_id="readLimits",
        summary="Your limits, and how much of them is used",
        responses={200: schema.Limits, **schema.problems(401, 403, 429, 503)},
    )
    def get(self, request: Request) -> HttpResponse:
        found = allowance.describe(
            call_of(request).customer_id, max_body_bytes=MAX_BODY_BYTES, max_unpacked_bytes=MAX_UNPACKED_BYTES
        )
        return json_answer(found)
