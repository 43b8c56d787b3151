from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from imports import validating
from imports.api import schema
from imports.api.answers import json_answer
from imports.api.authentication import call_of
from imports.api.problems import Problem
from imports.api.submission import submission
from imports.api.views.bulk import accepted
from imports.models import ImportJob

CHANGES_SCOPE = "records:read"


class ValidateView(APIView):
    """The whole pipeline with nothing written; over 20,000 records it runs as a dry-run job.

    `changes=true` puts stored values into the answer, which needs the scope records:read too.
    """

    required_scope = "imports:write"

    @extend_schema(
        operation_id="validateImport",
        summary="Check a body without storing anything",
        request=schema.RECORDS_BODY,
        parameters=[*schema.CSV_METADATA, schema.CHANGES, schema.IDEMPOTENCY_KEY],
        responses={
            200: schema.Verdict,
            202: schema.Accepted,
            **schema.problems(400, 401, 403, 409, 411, 413, 415, 422, 429, 503),
        },
    )
    def post(self, request: Request) -> HttpResponse:
        result = validating.validate(submission(request), with_changes=_wants_changes(request))
        return accepted(result) if isinstance(result, ImportJob) else json_answer(result.body)


def _wants_changes(request: Request) -> bool:
    wanted = request.GET.get("changes", "false")
    if wanted not in ("true", "false"):
        raise Problem("invalid_parameter", "changes must be true or false.")
    if wanted == "true" and CHANGES_SCOPE not in call_of(request).scopes:
        raise Problem("scope_missing", f"To see changes a key needs the scope {CHANGES_SCOPE} too.")
    return wanted == "true"
