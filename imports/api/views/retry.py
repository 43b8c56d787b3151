from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from imports import redriving
from imports.api import retry_schema, schema
from imports.api.answers import json_answer, own_job
from imports.redrive_plan import describe


class RetryView(APIView):
    """All of an import's open failed records, as a redrive. Asked for again while it is under way, it is the same."""

    required_scope = "imports:write"

    @extend_schema(
        operation_id="retryImport",
        summary="Try an import's failed records again",
        request=None,
        responses={202: retry_schema.RedriveState, **schema.problems(401, 403, 404, 409, 429, 503)},
    )
    def post(self, request: Request, job_id: UUID) -> HttpResponse:
        state = describe(redriving.retry_job(own_job(request, job_id)))
        return json_answer(state, status=202, headers={"Location": state["links"]["self"]})
