from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from audit.clock import database_now
from imports import ending, status
from imports.api import schema
from imports.api.answers import json_answer, own_job


class CancelView(APIView):
    """Batches not begun are dropped and counted as unprocessed; those under way finish."""

    required_scope = "imports:write"

    @extend_schema(
        operation_id="cancelImport",
        summary="Stop an import",
        request=None,
        responses={202: schema.Summary, **schema.problems(401, 403, 404, 409, 429, 503)},
    )
    def post(self, request: Request, job_id: UUID) -> HttpResponse:
        job = ending.cancel(own_job(request, job_id).pk)
        return json_answer(status.summarise(job, database_now()), status=202)
