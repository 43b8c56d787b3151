from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from imports import validating
from imports.api import schema
from imports.api.answers import json_answer
from imports.api.submission import submission
from imports.api.views.bulk import accepted
from imports.models import ImportJob


class ValidateView(APIView):
    """The whole pipeline with nothing written; over 20,000 records it runs as a dry-run job."""

    required_scope = "imports:write"

    @extend_schema(
        operation_id="validateImport",
        summary="Check a body without storing anything",
        request=schema.RECORDS_BODY,
        parameters=schema.CSV_METADATA,
        responses={
            200: schema.Verdict,
            202: schema.Accepted,
            **schema.problems(400, 401, 403, 411, 413, 415, 422, 429, 503),
        },
    )
    def post(self, request: Request) -> HttpResponse:
        result = validating.validate(submission(request))
        return accepted(result) if isinstance(result, ImportJob) else json_answer(result.body)
