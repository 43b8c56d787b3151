from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from audit.clock import database_now
from imports import status
from imports.api import schema
from imports.api.answers import json_answer, own_job


class ImportStatusView(APIView):
    required_scope = "imports:read"

    @extend_schema(
        operation_id="importStatus",
        summary="How far an import is, and what failed",
        responses={200: schema.Status, **schema.problems(401, 403, 404, 429, 503)},
    )
    def get(self, request: Request, job_id: UUID) -> HttpResponse:
        return json_answer(status.describe(own_job(request, job_id), database_now()))
